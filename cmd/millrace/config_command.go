package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
)

func configCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "config",
		Short: "Check and show the server's configuration",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	command.AddCommand(configCheckCommand(), configShowCommand(), configReferenceCommand())
	return command
}

func configCheckCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what `serve --config FILE` would refuse, with lines",
		Long: "Say what `serve --config FILE` would refuse, with lines.\n\n" +
			"The environment counts as it does for serve, so that a secret may stay out of the file.",
		Args: cobra.ExactArgs(1),
	}
	addSettingFlags(command.Flags())
	hideFlags(command)
	addOutputFlag(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := command.Flags().Set("config", args[0]); err != nil {
			return err
		}
		if _, err := load(command.Flags()); err != nil {
			return err
		}
		out := newOutput(command)
		if out.mode == asJSON {
			return out.value(map[string]any{"file": args[0], "ok": true})
		}
		return out.line("%s: ok", args[0])
	}
	return command
}

// hideFlags leaves out of the help text what only fills in for the file.
func hideFlags(command *cobra.Command) {
	for _, s := range settings {
		command.Flags().Lookup(s.flag()).Hidden = true
	}
	command.Flags().Lookup("config").Hidden = true
}

func configShowCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "show",
		Short: "Show the configuration that `serve` would run with, secrets masked",
		Args:  cobra.NoArgs,
	}
	addSettingFlags(command.Flags())
	addOutputFlag(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		c, err := load(command.Flags())
		if err != nil {
			return err
		}
		out := newOutput(command)
		if out.mode == asJSON {
			return out.showJSON(c)
		}
		text, err := c.show()
		if err != nil {
			return err
		}
		return out.line("%s", text)
	}
	return command
}

const mask = "********"

// shown is the configuration as it may be shown: with what rules leave out, and
// without secrets.
func (c config) shown() config {
	if c.Secret != "" {
		c.Secret = mask
	}
	c.APIKeys = slices.Clone(c.APIKeys)
	for i := range c.APIKeys {
		c.APIKeys[i] = mask
	}
	c.NATS.URL = redactURLs(c.NATS.URL)
	c.Rules = slices.Clone(c.allRules())
	for i, r := range c.Rules {
		keep := r.retention()
		c.Rules[i].History = &history{Messages: keep.Messages, Age: keep.Age}
	}
	return c
}

// show is a configuration file that says the same, with a comment where each
// setting comes from.
func (c *loaded) show() ([]byte, error) {
	data, err := yaml.Dump(c.shown())
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		return nil, err
	}
	source := configSource{root: document.Content[0]}
	for key, from := range c.origin {
		if from == fromFile {
			from = fmt.Sprintf("%s:%d", c.file.name, c.file.line(key))
		}
		source.find(key).LineComment = from
	}
	return yaml.Dump(&document, yaml.WithIndent(2))
}

// showJSON prints the same as one JSON object.
func (o *output) showJSON(c *loaded) error {
	data, err := yaml.Dump(c.shown())
	if err != nil {
		return err
	}
	var value map[string]any
	if err := yaml.Load(data, &value); err != nil {
		return err
	}
	return json.NewEncoder(o.w).Encode(value)
}
