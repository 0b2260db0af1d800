package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func traceCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "trace CHANNEL|PATTERN",
		Short: "Follow the messages of a channel through the server",
		Long: "Print what the server does with each message of a channel, as it does it: who\n" +
			"publishes it or why it is refused, how long it takes to place it, to how many\n" +
			"subscriptions it is delivered, and when it is sent to which session.\n\n" +
			"It is about the node that answers: on another one, what happens there is seen.\n" +
			"The credentials must allow `inspect` on the channel.",
		Example: "  millrace trace chat.42\n" +
			"  millrace trace 'orders.>' --json | jq 'select(.stage == \"TRACE_STAGE_REFUSED\")'",
		Args: cobra.ExactArgs(1),
		RunE: runTrace,
	}
	command.Flags().Int("count", 0, "end after this `many` steps")
	addClientFlags(command)
	addOutputFlag(command)
	return command
}

func runTrace(command *cobra.Command, args []string) error {
	count, err := command.Flags().GetInt("count")
	if err != nil {
		return err
	}
	client, err := newClient(command)
	if err != nil {
		return err
	}
	defer client.Close()
	t := tracePrinter{out: newOutput(command), left: count, limited: count > 0}
	return keepUp(command, func(ctx context.Context, life *life) error {
		stream, err := client.admin.TraceChannel(ctx, &millracev1.TraceChannelRequest{Channel: args[0]})
		if err != nil {
			return err
		}
		defer stream.Close()
		for {
			response, err := stream.Receive()
			if err != nil {
				return err
			}
			if !life.began {
				fmt.Fprintf(command.ErrOrStderr(), "-- tracing %s on %s\n", args[0], client.server)
			}
			life.sign()
			if missed := response.GetMissed(); missed > 0 {
				fmt.Fprintf(command.ErrOrStderr(), "-- %d steps are not shown: there were too many\n", missed)
			}
			if err := t.print(response.GetSteps()); err != nil {
				return err
			}
		}
	})
}

// tracePrinter prints steps, as many as are wanted.
type tracePrinter struct {
	out     *output
	limited bool
	left    int
}

func (t *tracePrinter) print(steps []*millracev1.TraceStep) error {
	for _, step := range steps {
		if err := t.out.step(step); err != nil {
			return final(err)
		}
		t.left--
		if t.limited && t.left <= 0 {
			return errDone
		}
	}
	return nil
}

// step prints what was done with a message.
func (o *output) step(s *millracev1.TraceStep) error {
	stage := strings.ToLower(strings.TrimPrefix(s.GetStage().String(), "TRACE_STAGE_"))
	switch o.mode {
	case asJSON:
		return o.message(s)
	case asLines:
		return o.fields(clock(s.GetTime()), s.GetChannel(), positionText(s.GetPosition()), stage, stepAbout(s))
	default:
		place := ""
		if s.GetPosition() != nil {
			place = fmt.Sprintf("#%d", s.GetPosition().GetOffset())
		}
		return o.line("%s  %s  %s  %-9s  %s", o.dim(clock(s.GetTime())), o.bold(printable(s.GetChannel())), o.dim(place), stage, stepAbout(s))
	}
}

// stepAbout is what else is known of a step.
func stepAbout(s *millracev1.TraceStep) string {
	took := s.GetDuration().AsDuration().Round(time.Microsecond)
	var about []string
	add := func(format, value string) {
		if value != "" {
			about = append(about, fmt.Sprintf(format, printable(value)))
		}
	}
	switch s.GetStage() {
	case millracev1.TraceStage_TRACE_STAGE_REFUSED:
		about = append(about, describeInfo(s.GetError()))
	case millracev1.TraceStage_TRACE_STAGE_PLACED:
		about = append(about, "in "+took.String())
		if s.GetDuplicate() {
			about = append(about, "a duplicate")
		}
	case millracev1.TraceStage_TRACE_STAGE_DELIVERED:
		about = append(about, fmt.Sprintf("to %d subscriptions", s.GetSubscribers()))
	case millracev1.TraceStage_TRACE_STAGE_SENT:
		about = append(about, "after "+took.String())
	case millracev1.TraceStage_TRACE_STAGE_UNSPECIFIED:
	}
	add("by %s", s.GetPublisher())
	add("over %s", s.GetProtocol())
	add("session %s", s.GetSession())
	add("id %s", s.GetMessageId())
	add("trace %s", s.GetTraceId())
	return strings.Join(about, ", ")
}
