package main

import (
	"fmt"
	"strconv"
	"strings"
)

// unescape reads Go's escapes, so that a shell can say any bytes. Quotes need
// none.
func unescape(text string) ([]byte, error) {
	unquoted, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return []byte(unquoted), nil
}
