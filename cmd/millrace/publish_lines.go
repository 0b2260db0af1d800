package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// batchBytes is when a batch is large enough. The server takes requests of
// several times its largest message, so that one more always fits.
const batchBytes = 32 << 10

// lineBatcher publishes lines in batches: what has been read without waiting,
// so that a slow source is published at once and a fast one in few calls.
type lineBatcher struct {
	// Set once.
	client   *client
	template *millracev1.PublishRequest
	form     string
	out      *output
	errors   io.Writer
	limit    int // messages of one batch

	batch    millracev1.PublishBatchRequest
	size     int
	lines    int // all so far
	accepted int
	last     *millracev1.Position
}

func publishLines(command *cobra.Command, client *client, template *millracev1.PublishRequest) error {
	limit, err := batchLimit(command.Context(), client)
	if err != nil {
		return err
	}
	b := &lineBatcher{
		client: client, template: template, form: flagText(command, "as"), limit: limit,
		out: newOutput(command), errors: command.ErrOrStderr(),
	}
	if err := b.run(command.Context(), bufio.NewReaderSize(command.InOrStdin(), batchBytes)); err != nil {
		return fmt.Errorf("after %d accepted messages: %w", b.accepted, err)
	}
	if b.out.mode == asText {
		if err := b.out.line("published %d of %d lines to %s; now at %s", b.accepted, b.lines, template.GetChannel(), positionText(b.last)); err != nil {
			return err
		}
	}
	if refused := b.lines - b.accepted; refused > 0 {
		return fmt.Errorf("%d of %d lines were refused", refused, b.lines)
	}
	return nil
}

func batchLimit(ctx context.Context, client *client) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := client.GetServerInfo(ctx, &millracev1.GetServerInfoRequest{})
	return int(info.GetLimits().GetMaxBatchMessages()), err
}

func (b *lineBatcher) run(ctx context.Context, in *bufio.Reader) error {
	for last := false; !last; {
		line, err := in.ReadBytes('\n')
		last = errors.Is(err, io.EOF)
		if err != nil && !last {
			return fmt.Errorf("read stdin: %w", err)
		}
		if !last || len(line) > 0 {
			if err := b.add(bytes.TrimRight(line, "\r\n")); err != nil {
				return err
			}
		}
		if last || !hasLine(in) || len(b.batch.GetRequests()) >= b.limit || b.size >= batchBytes {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasLine reports whether a line can be read without waiting.
func hasLine(in *bufio.Reader) bool {
	read, err := in.Peek(in.Buffered())
	return err == nil && bytes.IndexByte(read, '\n') >= 0
}

func (b *lineBatcher) add(line []byte) error {
	request := proto.CloneOf(b.template)
	if err := setPayload(request, b.form, line); err != nil {
		return err
	}
	b.batch.Requests = append(b.batch.Requests, request)
	b.size += proto.Size(request)
	b.lines++
	return nil
}

// flush publishes the batch and reports each line's fate.
func (b *lineBatcher) flush(ctx context.Context) error {
	if len(b.batch.GetRequests()) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := b.client.PublishBatch(ctx, &b.batch)
	if err != nil {
		return err
	}
	first := b.lines - len(b.batch.GetRequests()) + 1
	for i, result := range response.GetResults() {
		if err := b.report(first+i, result); err != nil {
			return err
		}
	}
	b.batch.Requests, b.size = nil, 0
	return nil
}

func (b *lineBatcher) report(line int, result *millracev1.PublishResult) error {
	if failure := result.GetError(); failure != nil {
		fmt.Fprintf(b.errors, "line %d: %s\n", line, describeInfo(failure))
	} else {
		b.accepted++
		b.last = result.GetResponse().GetPosition()
	}
	switch {
	case b.out.mode == asJSON:
		return b.out.message(result)
	case b.out.mode == asLines && result.GetError() == nil:
		return b.out.line("%s", positionText(result.GetResponse().GetPosition()))
	}
	return nil
}
