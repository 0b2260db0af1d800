package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"millrace.dev/demo"
	"millrace.dev/engine"
	"millrace.dev/engine/memory"
)

func demoCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "demo",
		Short: "Show in a web page what a client can do",
		Long: "Show in a web page what a client can do: chat, presence, cursors, a dashboard,\n" +
			"notifications, and networks that break on demand. It runs a server of its own,\n" +
			"with keys that it makes up; messages end with it.",
		Args: cobra.NoArgs,
		RunE: runDemo,
	}
	command.Flags().String("listen", defaultConfig().Listen, "`address` to listen on")
	return command
}

func runDemo(command *cobra.Command, _ []string) error {
	ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	c, url, err := demoConfig(ctx, flagText(command, "listen"))
	if err != nil {
		return err
	}
	log, err := newLogger(command.ErrOrStderr(), c.Log)
	if err != nil {
		return err
	}
	kept, start, err := demo.Keep(ctx, memory.Open(memory.Options{}))
	if err != nil {
		return err
	}
	e := &exhibition{config: c, log: log, start: start, restart: make(chan struct{}, 1)}
	e.show = demo.New(demo.Options{Server: url, Secret: []byte(c.Secret), Key: c.APIKeys[0], Restart: e.restartSoon, Log: log})
	e.listening = sync.OnceFunc(func() {
		fmt.Fprintf(command.ErrOrStderr(), "millrace %s shows what it can do on %s/\n", buildVersion().Version, url)
	})
	return errors.Join(e.run(ctx), kept.Close())
}

// demoConfig is the server's, as the demo wants it, with keys that nobody knows,
// and a URL that reaches it.
func demoConfig(ctx context.Context, listen string) (c config, url string, err error) {
	all := loaded{config: defaultConfig(), origin: map[string]string{}}
	if _, err := parse("millrace.yaml", demo.Config, &all.config); err != nil {
		return c, "", err
	}
	all.Secret, all.APIKeys, all.Log.Level = rand.Text()+rand.Text(), []string{rand.Text()}, "error"
	// The port is chosen now: a server that restarts comes back on the same.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return c, "", fmt.Errorf("listen: %w", err)
	}
	all.Listen = listener.Addr().String()
	url = (&port{listener: listener}).url()
	return all.config, url, errors.Join(all.check(), listener.Close())
}

// exhibition is the demo and the servers that it runs on, one after the other.
type exhibition struct {
	// Set once.
	config  config
	log     *slog.Logger
	start   engine.Open
	show    *demo.Demo
	restart chan struct{}
	// listening says where the demo is, once it is there.
	listening func()
}

// restartSoon ends the server that is running, for another to take its place.
func (e *exhibition) restartSoon() {
	select {
	case e.restart <- struct{}{}:
	default: // it is about to end
	}
}

func (e *exhibition) run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	var bots sync.WaitGroup
	bots.Go(func() { e.show.Run(ctx) })
	for err == nil && ctx.Err() == nil {
		err = e.round(ctx)
	}
	stop()
	bots.Wait()
	return err
}

// round is one server, from its start to its end.
func (e *exhibition) round(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer end()
	s, err := newServer(ctx, e.config, e.log, e.start)
	if err != nil {
		return err
	}
	e.listening()
	s.main.listener = e.show.Listener(s.main.listener)
	s.main.http.Handler = e.show.Handler(s.main.http.Handler)
	waiting.Go(func() {
		select {
		case <-e.restart:
			end()
		case <-ctx.Done():
		}
	})
	return s.run(ctx)
}
