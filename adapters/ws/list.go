package ws

import (
	"encoding/json"
	"errors"
	"io"
)

var (
	errNoList   = errors.New("not a JSON array")
	errTooLong  = errors.New("more entries than there may be")
	errTrailing = errors.New("something follows the JSON array")
)

// readList reads a JSON array, and no more of it than the entries that it may
// have.
func readList[Entry any](from io.Reader, most int) ([]Entry, error) {
	decoder := json.NewDecoder(from)
	start, err := decoder.Token()
	switch {
	case err != nil:
		return nil, err
	case start != json.Delim('['):
		return nil, errNoList
	}
	var all []Entry
	for decoder.More() {
		if len(all) == most {
			return nil, errTooLong
		}
		var one Entry
		if err := decoder.Decode(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if _, err := decoder.Token(); err != nil { // the end of the array
		return nil, err
	}
	_, err = decoder.Token()
	switch {
	case errors.Is(err, io.EOF):
		return all, nil
	case err == nil:
		err = errTrailing
	}
	return nil, err
}

// isJSONError reports whether what came is no JSON array, however it came.
func isJSONError(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || kind || errors.Is(err, errNoList) || errors.Is(err, errTrailing) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
