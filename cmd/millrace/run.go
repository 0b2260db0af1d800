package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run is the whole program: it runs the command that args name and returns the
// exit code. It ends early when ctx ends.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := markStart(root)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "millrace: %s\n", describe(err))
	if _, wrong := errors.AsType[usageError](err); wrong || !*started {
		fmt.Fprintf(stderr, "Run '%s --help' for how to call it.\n", command.CommandPath())
		return exitUsage
	}
	return exitFailure
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "millrace",
		Short:         "Publish a message to a channel, and every subscriber has it, in order",
		Args:          cobra.NoArgs,
		RunE:          showHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		serveCommand(), demoCommand(), publishCommand(), subscribeCommand(), historyCommand(),
		presenceCommand(), traceCommand(), adminCommand(), tokenCommand(), explainCommand(), configCommand(), versionCommand(),
	)
	return root
}

// showHelp is what a command does that is only there for its sub-commands. With
// it, cobra refuses a sub-command that it does not know.
func showHelp(command *cobra.Command, _ []string) error { return command.Help() }

// usageError is a call that cannot be meant, which only the command itself could
// tell.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return usageError{text: fmt.Sprintf(format, args...)}
}

// markStart tells errors of a command from errors of how it was called: what
// cobra finds wrong, it finds before a command starts.
func markStart(root *cobra.Command) *bool {
	started := new(bool)
	var mark func(*cobra.Command)
	mark = func(command *cobra.Command) {
		if runE := command.RunE; runE != nil {
			command.RunE = func(c *cobra.Command, args []string) error {
				*started = true
				return runE(c, args)
			}
		}
		for _, sub := range command.Commands() {
			mark(sub)
		}
	}
	mark(root)
	return started
}
