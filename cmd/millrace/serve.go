package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func serveCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Run the server until it is interrupted.\n\n" +
			"Every setting is a flag, a variable (--limits-channels is MILLRACE_LIMITS_CHANNELS)\n" +
			"and a key of the YAML file (limits: {channels: 512}). A flag counts before a\n" +
			"variable, a variable before the file. Without credentials the server is open to\n" +
			"everybody, and only on a loopback address.",
		Example: "  millrace serve\n" +
			"  millrace serve --listen :8080 --secret-file /run/secrets/millrace --origins https://app.example.com",
		Args: cobra.NoArgs,
		RunE: runServe,
	}
	addSettingFlags(command.Flags())
	return command
}

func runServe(command *cobra.Command, _ []string) error {
	c, err := load(command.Flags())
	if err != nil {
		return err
	}
	log, err := newLogger(command.ErrOrStderr(), c.Log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	s, err := newServer(ctx, c.config, log, c.engine(log))
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	announce(ctx, command.ErrOrStderr(), s)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() { s.watch(ctx, hangup, func() (config, error) { return reread(command.Flags()) }, c.files()) })
	return s.run(ctx)
}

// reread is the configuration as it is now.
func reread(flags *pflag.FlagSet) (config, error) {
	c, err := load(flags)
	if err != nil {
		return config{}, err
	}
	return c.config, nil
}

func newLogger(w io.Writer, c logging) (*slog.Logger, error) {
	var options slog.HandlerOptions
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, err
	}
	options.Level = level
	if c.Format == "json" {
		return slog.New(tracedLog{slog.NewJSONHandler(w, &options)}), nil
	}
	return slog.New(tracedLog{slog.NewTextHandler(w, &options)}), nil
}
