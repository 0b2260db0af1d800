//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// A decoder turns a program's output into events.
type decoder func(output io.Reader, seen func(event)) error

// events decodes the output of our own clients: an event a line.
func events(output io.Reader, seen func(event)) error {
	decoder := json.NewDecoder(output)
	for {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return ignoreEOF(err)
		}
		seen(e)
	}
}

// responses decodes SubscribeResponses in protobuf JSON, however they are laid out.
func responses(output io.Reader, seen func(event)) error {
	type position struct {
		Offset uint64 `json:"offset,string"`
	}
	decoder := json.NewDecoder(output)
	for {
		var response struct {
			Subscribed *struct {
				Channel string `json:"channel"`
			} `json:"subscribed"`
			Messages []struct {
				Channel  string   `json:"channel"`
				Position position `json:"position"`
				Payload  struct {
					JSON string `json:"json"`
				} `json:"payload"`
			} `json:"messages"`
		}
		if err := decoder.Decode(&response); err != nil {
			return ignoreEOF(err)
		}
		if response.Subscribed != nil {
			seen(event{Subscribed: response.Subscribed.Channel})
		}
		for _, m := range response.Messages {
			seen(event{Channel: m.Channel, Offset: m.Position.Offset, Data: m.Payload.JSON})
		}
	}
}

// serverSentEvents decodes a stream of named events.
func serverSentEvents(output io.Reader, seen func(event)) error {
	var name, data string
	return lines(output, func(line string) {
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && name == "millrace.subscribed":
			seen(event{Subscribed: data})
		case line == "" && name != "" && !strings.HasPrefix(name, "millrace."):
			seen(event{Channel: name, Data: data})
		case field == "event":
			name = value
		case field == "data":
			data = value
		}
		if line == "" {
			name, data = "", ""
		}
	})
}

// numbered decodes what our examples print: an offset and a payload a line.
func numbered(output io.Reader, seen func(event)) error {
	return lines(output, func(line string) {
		var e event
		offset, data, _ := strings.Cut(line, " ")
		if json.Unmarshal([]byte(offset), &e.Offset) == nil {
			e.Data = data
			seen(e)
		}
	})
}

// nothing is for programs whose output is only shown.
func nothing(output io.Reader, _ func(event)) error { return lines(output, func(string) {}) }

func lines(output io.Reader, do func(string)) error {
	scanner := bufio.NewScanner(output)
	for scanner.Scan() {
		do(scanner.Text())
	}
	return scanner.Err()
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
