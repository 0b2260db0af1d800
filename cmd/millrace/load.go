package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
)

// loaded is a configuration and where it came from.
type loaded struct {
	config
	file   *configSource     // nil without one
	origin map[string]string // of each setting that is not the default: "file", a variable or a flag
}

const fromFile = "file"

// load reads the configuration. A flag counts before a variable, a variable
// before the file, the file before the default. A variable that is empty
// counts as unset.
func load(flags *pflag.FlagSet) (*loaded, error) {
	c := &loaded{config: defaultConfig(), origin: map[string]string{}}
	if name := configFile(flags); name != "" {
		if err := c.read(name); err != nil {
			return nil, err
		}
	}
	for _, s := range settings {
		if err := c.override(s, flags); err != nil {
			return nil, err
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *loaded) read(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if c.file, err = parse(name, data, &c.config); err != nil {
		return err
	}
	for _, s := range settings {
		if c.file.find(s.key) != nil {
			c.origin[s.key] = fromFile
		}
	}
	return nil
}

// override takes a setting from the environment or its flag.
func (c *loaded) override(s setting, flags *pflag.FlagSet) error {
	var texts []string
	if text := os.Getenv(s.env()); text != "" {
		texts, c.origin[s.key] = []string{text}, s.env()
	}
	if flag := flags.Lookup(s.flag()); flag != nil && flag.Changed {
		if value, ok := flag.Value.(*settingFlag); ok {
			texts, c.origin[s.key] = value.texts, "--"+s.flag()
		}
	}
	if texts == nil {
		return nil
	}
	if err := s.set(&c.config, texts); err != nil {
		return fmt.Errorf("%s: %w", c.origin[s.key], err)
	}
	return nil
}

// check reports all that cannot work, each with the place where it is written.
func (c *loaded) check() error {
	var all []error
	for _, p := range c.problems() {
		all = append(all, c.locate(p))
	}
	return errors.Join(all...)
}

// locate says where a problem is written: file and line, variable or flag.
func (c *loaded) locate(p problem) error {
	switch from := c.origin[p.setting()]; {
	case from == fromFile:
		return fmt.Errorf("%s:%d: %w", c.file.name, c.file.line(p.path), p)
	case from != "":
		return fmt.Errorf("%s: %w", from, p)
	default:
		return p
	}
}
