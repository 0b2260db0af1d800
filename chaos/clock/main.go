// Command clock writes what `go build -overlay` needs to make programs whose wall
// clock can be set while they run, each one's for itself. Such a program adds to the
// time of day what the file that CHAOS_CLOCK names says, a number of nanoseconds; its
// monotonic clock is as ever. Nothing of it is in a program that is built without.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed wall.go.txt
var wall []byte

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "clock: wants the directory to write to, and GOROOT")
		os.Exit(2)
	}
	if err := write(os.Args[1], filepath.Join(os.Args[2], "src", "time")); err != nil {
		fmt.Fprintln(os.Stderr, "clock:", err)
		os.Exit(1)
	}
}

// write writes the package time with another source of Now, and the list of what
// replaces what.
func write(dir, source string) error {
	original, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		return err
	}
	const asks, instead = "sec, nsec, mono := runtimeNow()", "sec, nsec, mono := wallNow()"
	if bytes.Count(original, []byte(asks)) != 1 {
		return errors.New("time.Now is not as this program knows it: is this another version of Go?")
	}
	changed := bytes.Replace(original, []byte(asks), []byte(instead), 1)
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(source, "time.go"): filepath.Join(dir, "time.go"),
		filepath.Join(source, "wall.go"): filepath.Join(dir, "wall.go"),
	}})
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(dir, 0o750),
		os.WriteFile(filepath.Join(dir, "time.go"), changed, 0o600),
		os.WriteFile(filepath.Join(dir, "wall.go"), wall, 0o600),
		os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600),
	)
}
