package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

func publishCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "publish CHANNEL [DATA]",
		Short: "Publish a message",
		Long: "Publish a message. Without DATA, it is read from stdin.\n\n" +
			"DATA that is JSON is published as JSON, other data as text, and what is not\n" +
			"even text as bytes; --as says which it must be. Nothing at all is a signal.",
		Example: "  millrace publish chat.42 '{\"text\":\"hello\"}'\n" +
			"  tail -f app.log | millrace publish logs --lines",
		Args: cobra.RangeArgs(1, 2),
		RunE: runPublish,
	}
	flags := command.Flags()
	flags.String("as", "auto", "auto, json, text or binary: `form` of the data")
	flags.String("id", "", "`id` for deduplication: the same id is published once")
	flags.String("type", "", "`kind` of message, such as order.created")
	flags.String("key", "", "what the message is the latest value of")
	flags.StringToString("header", nil, "`name=value` of a header; may be repeated")
	flags.Duration("ttl", 0, "`time` after which history forgets the message")
	flags.Bool("ephemeral", false, "deliver to the subscribers of the moment, and keep nothing")
	flags.String("expect", "", "publish only if the channel is at this `position`; 0 for an empty channel")
	flags.Bool("lines", false, "publish each line of stdin as a message")
	command.MarkFlagsMutuallyExclusive("lines", "id")
	command.MarkFlagsMutuallyExclusive("lines", "expect")
	addClientFlags(command)
	addOutputFlag(command)
	cobra.CheckErr(command.RegisterFlagCompletionFunc("as",
		cobra.FixedCompletions([]string{"auto", "json", "text", "binary"}, cobra.ShellCompDirectiveNoFileComp)))
	return command
}

func runPublish(command *cobra.Command, args []string) error {
	template, err := publishTemplate(command, args[0])
	if err != nil {
		return err
	}
	client, err := newClient(command)
	if err != nil {
		return err
	}
	defer client.Close()
	lines, err := command.Flags().GetBool("lines")
	switch {
	case err != nil:
		return err
	case lines && len(args) > 1:
		return usagef("with --lines the data is read from stdin")
	case lines:
		return publishLines(command, client, template)
	}
	return publishOne(command, client, template, args)
}

func publishOne(command *cobra.Command, client *client, template *millracev1.PublishRequest, args []string) error {
	data, err := publishData(command, args)
	if err != nil {
		return err
	}
	if err := setPayload(template, flagText(command, "as"), data); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(command.Context(), callTimeout)
	defer cancel()
	response, err := client.Publish(ctx, template)
	if err != nil {
		return err
	}
	return newOutput(command).accepted(template.GetChannel(), response)
}

// publishTemplate is the request without its payload.
func publishTemplate(command *cobra.Command, channel string) (*millracev1.PublishRequest, error) {
	flags := command.Flags()
	request := &millracev1.PublishRequest{
		Channel: channel,
		Id:      flagText(command, "id"),
		Type:    flagText(command, "type"),
		Key:     flagText(command, "key"),
	}
	var err error
	if request.Headers, err = flags.GetStringToString("header"); err != nil {
		return nil, err
	}
	if request.Ephemeral, err = flags.GetBool("ephemeral"); err != nil {
		return nil, err
	}
	if ttl, err := flags.GetDuration("ttl"); err == nil && flags.Changed("ttl") {
		request.Ttl = durationpb.New(ttl)
	}
	if flags.Changed("expect") {
		if request.ExpectedPosition, err = expectedPosition(flagText(command, "expect")); err != nil {
			return nil, err
		}
	}
	return request, nil
}

// expectedPosition reads a position, and 0 for a channel without messages.
func expectedPosition(text string) (*millracev1.Position, error) {
	if text == "0" {
		return &millracev1.Position{}, nil
	}
	return parsePosition(text)
}

func parsePosition(text string) (*millracev1.Position, error) {
	p, err := engine.ParsePosition(text)
	if err != nil {
		return nil, usagef("%s", err)
	}
	return &millracev1.Position{Offset: p.Offset, Epoch: p.Epoch}, nil
}

// publishData is the data of the call; of stdin, without the line break that
// most programs end with.
func publishData(command *cobra.Command, args []string) ([]byte, error) {
	if len(args) > 1 {
		return []byte(args[1]), nil
	}
	data, err := io.ReadAll(command.InOrStdin())
	if err != nil {
		return nil, fmt.Errorf("read stdin: %w", err)
	}
	if flagText(command, "as") != "binary" {
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	}
	return data, nil
}

// setPayload gives the request its payload, in the form that is asked for.
func setPayload(request *millracev1.PublishRequest, form string, data []byte) error {
	payload := &millracev1.Payload{}
	switch {
	case form == "auto" && len(data) == 0:
		return nil
	case form == "json" || form == "auto" && utf8.Valid(data) && json.Valid(data):
		payload.Kind = &millracev1.Payload_Json{Json: string(data)}
	case form == "text" || form == "auto" && utf8.Valid(data):
		payload.Kind = &millracev1.Payload_Text{Text: string(data)}
	case form == "binary" || form == "auto":
		payload.Kind = &millracev1.Payload_Binary{Binary: data}
	default:
		return usagef("--as is auto, json, text or binary, not %q", form)
	}
	request.Data = &millracev1.PublishRequest_Payload{Payload: payload}
	return nil
}

// accepted prints where a message went.
func (o *output) accepted(channel string, response *millracev1.PublishResponse) error {
	switch {
	case o.mode == asJSON:
		return o.message(response)
	case o.mode == asLines:
		return o.line("%s", positionText(response.GetPosition()))
	case response.GetPosition() == nil:
		return o.line("delivered to %s, and kept nowhere", channel)
	case response.GetDuplicate():
		return o.line("published to %s before, at %s", channel, positionText(response.GetPosition()))
	default:
		return o.line("published to %s at %s", channel, positionText(response.GetPosition()))
	}
}
