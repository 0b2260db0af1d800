package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func presenceCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "presence CHANNEL",
		Short: "Print who is present in a channel",
		Args:  cobra.ExactArgs(1),
		RunE:  runPresence,
	}
	command.Flags().Bool("watch", false, "then print who comes, changes and goes")
	addClientFlags(command)
	addOutputFlag(command)
	return command
}

func runPresence(command *cobra.Command, args []string) error {
	watch, err := command.Flags().GetBool("watch")
	if err != nil {
		return err
	}
	client, err := newClient(command)
	if err != nil {
		return err
	}
	defer client.Close()
	if watch {
		return watchPresence(command, client, args[0])
	}
	request := &millracev1.PresenceRequest{Channel: args[0]}
	return eachPage(0, func(size uint32) (uint32, bool, error) {
		request.PageSize = size
		return presencePage(command, client, request)
	})
}

// presencePage prints a page, and has the request ask for the next one.
func presencePage(command *cobra.Command, client *client, request *millracev1.PresenceRequest) (uint32, bool, error) {
	ctx, cancel := context.WithTimeout(command.Context(), callTimeout)
	defer cancel()
	response, err := client.Presence(ctx, request)
	if err != nil {
		return 0, false, err
	}
	out := newOutput(command)
	if out.mode == asText && request.GetPageToken() == "" {
		if err := out.line("%d present in %s", response.GetTotal(), request.GetChannel()); err != nil {
			return 0, false, err
		}
	}
	for _, m := range response.GetMembers() {
		if err := out.member(m); err != nil {
			return 0, false, err
		}
	}
	request.PageToken = response.GetNextPageToken()
	return uint32(len(response.GetMembers())), request.GetPageToken() != "", nil
}

// member prints somebody who is present.
func (o *output) member(m *millracev1.Member) error {
	switch o.mode {
	case asJSON:
		return o.message(m)
	case asLines:
		return o.fields(printable(m.GetUser()), strconv.FormatUint(uint64(m.GetSessions()), 10), payloadLine(m.GetData()))
	default:
		return o.line("  %s", o.memberText(m))
	}
}

func (o *output) memberText(m *millracev1.Member) string {
	text := fmt.Sprintf("%s  since %s", o.bold(printable(m.GetUser())), clock(m.GetEnterTime()))
	if m.GetSessions() > 1 {
		text += fmt.Sprintf("  %d sessions", m.GetSessions())
	}
	return strings.TrimRight(text+"  "+payloadLine(m.GetData()), " ")
}

// snapshot prints everybody who is present.
func (o *output) snapshot(s *millracev1.PresenceSnapshot) error {
	if o.mode == asText {
		if err := o.line("%d present in %s", s.GetTotal(), o.bold(s.GetChannel())); err != nil {
			return err
		}
	}
	for _, m := range s.GetMembers() {
		if err := o.present(s.GetChannel(), "PRESENT", m); err != nil {
			return err
		}
	}
	return nil
}

// changes prints who came, changed or went; of a crowd, how many there are.
func (o *output) changes(c *millracev1.PresenceChanges) error {
	if len(c.GetChanges()) == 0 && o.mode == asText {
		return o.line("%d present in %s", c.GetTotal(), o.bold(c.GetChannel()))
	}
	for _, change := range c.GetChanges() {
		action := strings.TrimPrefix(change.GetAction().String(), "PRESENCE_ACTION_")
		if err := o.present(c.GetChannel(), action, change.GetMember()); err != nil {
			return err
		}
	}
	return nil
}

// present prints what is known of one member of a channel.
func (o *output) present(channel, action string, m *millracev1.Member) error {
	action = strings.ToLower(action)
	if o.mode == asLines {
		return o.fields(channel, action, printable(m.GetUser()), payloadLine(m.GetData()))
	}
	return o.line("  %-7s  %s", action, o.memberText(m))
}
