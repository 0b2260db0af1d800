package ws

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

var (
	errOtherKind = errors.New("neither a JSON array nor an object, whichever it should be")
	errTooLong   = errors.New("more entries than there may be")
	errTrailing  = errors.New("something follows the JSON value")
)

// readList reads a JSON array, and no more of it than the entries that it may
// have.
func readList[Entry any](from io.Reader, most int) ([]Entry, error) {
	var all []Entry
	err := readEntries(from, '[', most, func(decoder *json.Decoder) error {
		var one Entry
		err := decoder.Decode(&one)
		all = append(all, one)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// readMap is readList for a JSON object. A name that comes again counts again.
func readMap[Entry any](from io.Reader, most int) (map[string]Entry, error) {
	all := map[string]Entry{}
	err := readEntries(from, '{', most, func(decoder *json.Decoder) error {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var one Entry
		err = decoder.Decode(&one)
		all[fmt.Sprint(name)] = one
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func readEntries(from io.Reader, opening json.Delim, most int, read func(*json.Decoder) error) error {
	decoder := json.NewDecoder(from)
	start, err := decoder.Token()
	switch {
	case err != nil:
		return err
	case start != opening:
		return errOtherKind
	}
	for n := 0; decoder.More(); n++ {
		if n == most {
			return errTooLong
		}
		if err := read(decoder); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil { // the end
		return err
	}
	_, err = decoder.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		err = errTrailing
	}
	return err
}

// isJSONError reports whether what came is no JSON array, however it came.
func isJSONError(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || kind || errors.Is(err, errOtherKind) || errors.Is(err, errTrailing) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
