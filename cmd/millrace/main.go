// Command millrace is the Millrace server and its client for terminals and
// scripts.
//
// Every command follows the same rules:
//
//   - What was asked for goes to stdout, everything else to stderr.
//   - On a terminal the output is for people; in a pipe it is one line for each
//     thing; with --json it is one JSON object a line.
//   - The exit code is 0 for success, 1 for a failure, 2 for a wrong call.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
