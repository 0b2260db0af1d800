package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// mode is how output is written.
type mode int

const (
	asLines mode = iota // one line for each thing, fields separated by tabs
	asText              // for people
	asJSON              // one JSON object a line
)

// output is what a command writes its results to.
type output struct {
	w     io.Writer
	mode  mode
	color bool
}

func addOutputFlag(command *cobra.Command) {
	command.Flags().Bool("json", false, "print one JSON object a line, for programs")
}

// newOutput chooses the mode: people read terminals, programs ask for JSON.
func newOutput(command *cobra.Command) *output {
	out := &output{w: command.OutOrStdout()}
	wantsJSON, err := command.Flags().GetBool("json")
	switch {
	case err == nil && wantsJSON:
		out.mode = asJSON
	case isTerminal(out.w):
		out.mode = asText
		out.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return out
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// line prints a line as it is.
func (o *output) line(format string, args ...any) error {
	_, err := fmt.Fprintln(o.w, strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
	return err
}

// fields prints fields as one line, separated by tabs.
func (o *output) fields(fields ...string) error {
	return o.line("%s", strings.Join(fields, "\t"))
}

// message prints a message of the API as one line of JSON.
func (o *output) message(m proto.Message) error {
	data, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	var compact bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&compact, data); err != nil {
		return err
	}
	return o.line("%s", compact.Bytes())
}

// value prints any value as one line of JSON.
func (o *output) value(v any) error {
	return json.NewEncoder(o.w).Encode(v)
}

func (o *output) dim(text string) string  { return o.style("2", text) }
func (o *output) bold(text string) string { return o.style("1", text) }

func (o *output) style(code, text string) string {
	if !o.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// printable escapes what would move the cursor, change colours or turn the
// direction of a line: messages come from anybody.
func printable(text string) string {
	if strings.IndexFunc(text, isUnsafe) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isUnsafe(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isUnsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}
