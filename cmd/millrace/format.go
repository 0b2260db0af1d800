package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// wideJSON is how long a JSON payload may be and still stand in one line on a
// terminal.
const wideJSON = 80

// published prints a message of a channel.
func (o *output) published(m *millracev1.Message) error {
	switch o.mode {
	case asJSON:
		return o.message(m)
	case asLines:
		return o.fields(m.GetChannel(), positionText(m.GetPosition()), payloadLine(m.GetPayload()))
	default:
		return o.line("%s", o.messageText(m))
	}
}

// messageText is a message for people: time, channel, offset, what it is about,
// payload.
func (o *output) messageText(m *millracev1.Message) string {
	place := "ephemeral"
	if m.GetPosition() != nil {
		place = "#" + strconv.FormatUint(m.GetPosition().GetOffset(), 10)
	}
	parts := []string{o.dim(clock(m.GetPublishTime())), o.bold(m.GetChannel()), o.dim(place)}
	for _, extra := range []string{m.GetType(), m.GetKey(), m.GetPublisher()} {
		if extra != "" {
			parts = append(parts, printable(extra))
		}
	}
	return strings.Join(parts, "  ") + payloadText(m.GetPayload())
}

func clock(t *timestamppb.Timestamp) string {
	return t.AsTime().Local().Format("15:04:05.000")
}

// positionText is a position as --since and --expect take it, "-" for none.
func positionText(p *millracev1.Position) string {
	if p == nil {
		return "-"
	}
	return engine.Position{Epoch: p.GetEpoch(), Offset: p.GetOffset()}.String()
}

// payloadLine is a payload in one line: JSON without its line breaks, text with
// them escaped, bytes in base64.
func payloadLine(p *millracev1.Payload) string {
	switch kind := p.GetKind().(type) {
	case *millracev1.Payload_Json:
		return printable(compact(kind.Json))
	case *millracev1.Payload_Text:
		return printable(kind.Text)
	case *millracev1.Payload_Binary:
		return base64.StdEncoding.EncodeToString(kind.Binary)
	default:
		return ""
	}
}

// payloadText is a payload for people, to follow what else is known of the
// message.
func payloadText(p *millracev1.Payload) string {
	line := payloadLine(p)
	switch kind := p.GetKind().(type) {
	case *millracev1.Payload_Json:
		if len(line) > wideJSON {
			return "\n" + indent(line)
		}
	case nil:
		return ""
	case *millracev1.Payload_Binary:
		about := strings.TrimSpace(fmt.Sprintf("%d bytes %s", len(kind.Binary), printable(p.GetContentType())))
		return "  " + line + " (" + about + ")"
	}
	return "  " + line
}

func compact(text string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return text // never: the server checks what is published
	}
	return b.String()
}

func indent(text string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "  ", "  "); err != nil {
		return text
	}
	return "  " + b.String()
}
