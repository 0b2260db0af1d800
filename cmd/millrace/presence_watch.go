package main

import (
	"context"

	"github.com/spf13/cobra"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// watchPresence prints a channel's presence until it is interrupted. After the
// stream has broken, the new snapshot says all that was missed.
func watchPresence(command *cobra.Command, client *client, channel string) error {
	out := newOutput(command)
	return keepUp(command, func(ctx context.Context, life *life) error {
		stream, err := client.WatchPresence(ctx, &millracev1.WatchPresenceRequest{Channels: []string{channel}})
		if err != nil {
			return err
		}
		defer stream.Close()
		for {
			response, err := stream.Receive()
			if err != nil {
				return err
			}
			life.sign()
			if err := out.watched(response); err != nil {
				return final(err)
			}
		}
	})
}

// watched prints an item of the stream.
func (o *output) watched(response *millracev1.WatchPresenceResponse) error {
	switch notice := response.GetNotice().(type) {
	case *millracev1.WatchPresenceResponse_Snapshot:
		if o.mode == asJSON {
			return o.message(response)
		}
		return o.snapshot(notice.Snapshot)
	case *millracev1.WatchPresenceResponse_Changes:
		if o.mode == asJSON {
			return o.message(response)
		}
		return o.changes(notice.Changes)
	}
	return nil
}
