package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
)

func subscribeCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "subscribe CHANNEL|PATTERN...",
		Short: "Print the messages of channels as they come",
		Long: "Print the messages of channels as they come.\n\n" +
			"When the connection breaks it comes back and continues after the last message,\n" +
			"so that none is lost or repeated; what cannot be had is said on stderr.",
		Example: "  millrace subscribe chat.42 --recent 10\n" +
			"  millrace subscribe 'orders.>' --json | jq .payload",
		Args: cobra.MinimumNArgs(1),
		RunE: runSubscribe,
	}
	flags := command.Flags()
	flags.String("since", "", "begin after this `position`")
	flags.Uint32("recent", 0, "begin with this `many` recent messages")
	flags.Bool("presence", false, "also print who is present")
	flags.Int("count", 0, "end after this `many` messages")
	command.MarkFlagsMutuallyExclusive("since", "recent")
	addClientFlags(command)
	addOutputFlag(command)
	return command
}

func runSubscribe(command *cobra.Command, args []string) error {
	s, err := newSubscriber(command, args)
	if err != nil {
		return err
	}
	client, err := newClient(command)
	if err != nil {
		return err
	}
	defer client.Close()
	return keepUp(command, func(ctx context.Context, life *life) error {
		return s.follow(ctx, client, life)
	})
}

// subscriber prints the streams of one subscribe command, one after the other.
type subscriber struct {
	// Set once.
	template *millracev1.Subscription
	count    int // messages to print, 0 for no limit
	out      *output
	notes    io.Writer

	names   []string // still subscribed to
	places  *places
	printed int
}

func newSubscriber(command *cobra.Command, args []string) (*subscriber, error) {
	flags := command.Flags()
	recent, err1 := flags.GetUint32("recent")
	presence, err2 := flags.GetBool("presence")
	count, err3 := flags.GetInt("count")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	slices.Sort(args)
	s := &subscriber{
		template: &millracev1.Subscription{Recent: recent, Presence: presence},
		count:    count,
		out:      newOutput(command),
		notes:    command.ErrOrStderr(),
		names:    slices.Compact(args),
		places:   newPlaces(),
	}
	if (recent > 0 || presence) && slices.ContainsFunc(args, channel.IsPattern) {
		return nil, usagef("--recent and --presence are for channels, not for patterns")
	}
	if err := s.setSince(flagText(command, "since")); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *subscriber) setSince(text string) error {
	if text == "" {
		return nil
	}
	if len(s.names) > 1 {
		return usagef("--since is the position of one channel or pattern")
	}
	since, err := parsePosition(text)
	s.places.starts[s.names[0]] = since
	return err
}

// follow prints one stream until it ends.
func (s *subscriber) follow(ctx context.Context, client *client, life *life) error {
	request := &millracev1.SubscribeRequest{Client: "millrace-cli/" + buildVersion().Version}
	for _, name := range s.names {
		request.Subscriptions = append(request.Subscriptions, s.places.subscription(name, s.template))
	}
	stream, err := client.Subscribe(ctx, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		response, err := stream.Receive()
		if err != nil {
			return err
		}
		if ready := response.GetReady(); ready != nil {
			life.silence = ready.GetHeartbeatInterval().AsDuration()
			s.notef("connected to %s", client.server)
		}
		life.sign()
		if err := s.take(response); err != nil {
			return err
		}
	}
}

// notef says on stderr what happened to the stream.
func (s *subscriber) notef(format string, args ...any) {
	fmt.Fprintf(s.notes, "-- "+format+"\n", args...)
}

// take prints an item of the stream.
func (s *subscriber) take(response *millracev1.SubscribeResponse) error {
	for _, m := range response.GetMessages() {
		if err := s.show(m); err != nil {
			return err
		}
	}
	switch notice := response.GetNotice().(type) {
	case *millracev1.SubscribeResponse_Subscribed:
		s.places.subscribed(notice.Subscribed, s.template.GetRecent() > 0)
	case *millracev1.SubscribeResponse_Unsubscribed:
		return s.unsubscribed(notice.Unsubscribed)
	case *millracev1.SubscribeResponse_Gap:
		s.places.gap(notice.Gap)
		s.notef("%s", gapText(notice.Gap))
		return s.notice(response, nil)
	case *millracev1.SubscribeResponse_Checkpoint:
		s.places.checkpoint(notice.Checkpoint)
	case *millracev1.SubscribeResponse_Heartbeat:
		s.places.caughtUp()
	case *millracev1.SubscribeResponse_PresenceSnapshot:
		return s.notice(response, func() error { return s.out.snapshot(notice.PresenceSnapshot) })
	case *millracev1.SubscribeResponse_PresenceChanges:
		return s.notice(response, func() error { return s.out.changes(notice.PresenceChanges) })
	}
	return nil
}

// show prints a message, and ends the command with the last one it wants.
func (s *subscriber) show(m *millracev1.Message) error {
	if !s.places.show(m) {
		return nil
	}
	if err := s.out.published(m); err != nil {
		return final(err)
	}
	s.printed++
	if s.printed == s.count {
		return errDone
	}
	return nil
}

// notice prints a notice: for programs as it came, for people as text does.
func (s *subscriber) notice(response *millracev1.SubscribeResponse, text func() error) error {
	switch {
	case s.out.mode == asJSON:
		return final(s.out.message(response))
	case text != nil:
		return final(text())
	}
	return nil
}

// unsubscribed drops a channel that the server has ended.
func (s *subscriber) unsubscribed(notice *millracev1.Unsubscribed) error {
	why := "removed by an administrator"
	if notice.GetError() != nil {
		why = describeInfo(notice.GetError())
	}
	s.names = slices.DeleteFunc(s.names, func(name string) bool { return name == notice.GetChannel() })
	if len(s.names) == 0 {
		return final(fmt.Errorf("no longer subscribed to %s: %s", notice.GetChannel(), why))
	}
	s.notef("no longer subscribed to %s: %s", notice.GetChannel(), why)
	return nil
}

// gapText says what was missed.
func gapText(gap *millracev1.Gap) string {
	reason := strings.TrimPrefix(gap.GetReason().String(), "GAP_REASON_")
	from, to := gap.GetRequested(), gap.GetPosition()
	what := "messages after " + positionText(from) + " cannot be had"
	if from.GetEpoch() == to.GetEpoch() && from.GetOffset() < to.GetOffset() && !channel.IsPattern(gap.GetChannel()) {
		what = fmt.Sprintf("messages %d to %d are missing", from.GetOffset()+1, to.GetOffset())
	}
	return fmt.Sprintf("GAP in %s: %s (%s); going on after %s", gap.GetChannel(), what, reason, positionText(to))
}
