// Package channel knows the names of channels and the patterns that stand for
// many of them.
//
// A name is tokens separated by ".": `chat.42`, `user.ada.messages`. In a
// pattern, "*" stands for one whole token and a final ">" for one or more:
// `chat.*`, `user.>`.
package channel

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxBytes is the longest channel name or pattern.
const MaxBytes = 255

// ErrInvalid is what every refusal of a name wraps.
var ErrInvalid = errors.New("invalid channel")

// Check reports why name cannot be a channel. A channel is 1 to
// [MaxBytes] bytes of UTF-8 without spaces, control characters, "*" and
// ">"; tokens are separated by "." and none of them is empty.
func Check(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if strings.ContainsAny(name, "*>") {
		return fmt.Errorf(`%w: "*" and ">" are for patterns`, ErrInvalid)
	}
	return nil
}

// CheckPattern reports why pattern cannot be a pattern: a channel name in which
// "*" may stand for one whole token and a final ">" for one or more.
func CheckPattern(pattern string) error {
	if err := checkName(pattern); err != nil {
		return err
	}
	for rest, more := pattern, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if strings.ContainsAny(token, "*>") && len(token) > 1 {
			return fmt.Errorf(`%w: "*" and ">" stand for whole tokens`, ErrInvalid)
		}
		if token == ">" && more {
			return fmt.Errorf(`%w: ">" is the last token of a pattern`, ErrInvalid)
		}
	}
	return nil
}

// IsPattern reports whether a checked name stands for more than one channel.
func IsPattern(name string) bool { return strings.ContainsAny(name, "*>") }

// Match reports whether a channel matches a pattern. A pattern without "*" and
// ">" matches only itself.
func Match(pattern, channel string) bool {
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		c, cRest, cMore := strings.Cut(channel, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != c:
			return false
		case !pMore || !cMore:
			return pMore == cMore
		}
		pattern, channel = pRest, cRest
	}
}

// Covers reports whether every channel that matches the pattern or channel
// narrow also matches the pattern wide.
func Covers(wide, narrow string) bool {
	for {
		w, wRest, wMore := strings.Cut(wide, ".")
		n, nRest, nMore := strings.Cut(narrow, ".")
		switch {
		case w == ">":
			return true
		case n == ">" || w != "*" && w != n:
			return false
		case !wMore || !nMore:
			return wMore == nMore
		}
		wide, narrow = wRest, nRest
	}
}

// Overlaps reports whether some channel matches both patterns.
func Overlaps(a, b string) bool {
	for {
		aToken, aRest, aMore := strings.Cut(a, ".")
		bToken, bRest, bMore := strings.Cut(b, ".")
		switch {
		case aToken == ">" || bToken == ">":
			return true
		case aToken != "*" && bToken != "*" && aToken != bToken:
			return false
		case !aMore || !bMore:
			return aMore == bMore
		}
		a, b = aRest, bRest
	}
}

func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the name is empty", ErrInvalid)
	case len(name) > MaxBytes:
		return fmt.Errorf("%w: the name is longer than %d bytes", ErrInvalid, MaxBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the name is not valid UTF-8", ErrInvalid)
	case name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, ".."):
		return fmt.Errorf(`%w: a token between "." is empty`, ErrInvalid)
	case strings.ContainsFunc(name, isForbidden):
		return fmt.Errorf("%w: the name has a space or a control character", ErrInvalid)
	}
	return nil
}

// isForbidden keeps names safe on every wire: in an SSE field, a header, a log
// line and a subject of a message bus.
func isForbidden(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}
