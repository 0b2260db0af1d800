package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// configSource is a configuration file, kept to find the line of a key again.
type configSource struct {
	name string
	root *yaml.Node // nil for a file without a value
}

// parse reads data into c. A key that c does not have, or that is there twice,
// is an error with its line.
func parse(name string, data []byte, c *config) (*configSource, error) {
	source := &configSource{name: name}
	var document yaml.Node
	if err := decode(data, &document); errors.Is(err, io.EOF) {
		return source, nil // nothing but comments
	} else if err != nil {
		return nil, source.at(err)
	}
	source.root = document.Content[0]
	if err := decode(data, c); err != nil {
		return nil, source.at(err)
	}
	return source, nil
}

// decode reads the only document of data.
func decode(data []byte, into any) error {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithKnownFields())
	if err != nil {
		return err
	}
	if err := loader.Load(into); err != nil {
		return err
	}
	if err := loader.Load(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one YAML document")
	}
	return nil
}

// at gives each error of the YAML library its place in the file.
func (s *configSource) at(err error) error {
	var all []error
	for _, e := range loadErrors(err) {
		all = append(all, fmt.Errorf("%s:%d: %s", s.name, e.Mark.Line, plain(e.Message)))
	}
	if all == nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return errors.Join(all...)
}

// yamlError is for a value that has no lines worth naming.
func yamlError(err error) error {
	if found := loadErrors(err); len(found) > 0 {
		return errors.New(plain(found[0].Message))
	}
	return err
}

func loadErrors(err error) []*yaml.LoadError {
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		return many.Errors
	}
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		return []*yaml.LoadError{one}
	}
	return nil
}

var (
	unknownKey = regexp.MustCompile(`^field (.+) not found in type .*$`)
	wrongType  = regexp.MustCompile("(?s)^cannot construct .* into (.+)$")
)

// plain says what the library means without the names of our Go types. It
// leaves the value out: it may be a secret.
func plain(message string) string {
	if m := unknownKey.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("unknown key %q", m[1])
	}
	if m := wrongType.FindStringSubmatch(message); m != nil {
		return "wants " + goTypeInWords(m[1])
	}
	return message
}

func goTypeInWords(name string) string {
	switch {
	case name == "string" || name == "auth.Action":
		return kindOf(new(string))
	case name == "bool":
		return kindOf(new(bool))
	case name == "int":
		return kindOf(new(int))
	case name == "float64":
		return kindOf(new(float64))
	case name == "time.Duration":
		return `a duration such as "10s" or "24h"`
	case strings.HasPrefix(name, "[]"):
		return "a list"
	default:
		return "keys and values"
	}
}

// line is the line of what path names, or of the nearest thing around it.
func (s *configSource) line(path string) int {
	for path != "" {
		if node := s.find(path); node != nil {
			return node.Line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1
}

var step = regexp.MustCompile(`[^.\[\]]+`)

// find is the node of a path such as `rules[0].history`: for a key, the node of
// the key itself. It is nil if the file does not have it.
func (s *configSource) find(path string) *yaml.Node {
	key, value := (*yaml.Node)(nil), s.root
	for _, name := range step.FindAllString(path, -1) {
		if key, value = child(value, name); value == nil {
			return nil
		}
	}
	return key
}

func child(of *yaml.Node, name string) (key, value *yaml.Node) {
	if of == nil {
		return nil, nil
	}
	if of.Kind == yaml.AliasNode {
		of = of.Alias
	}
	if i, err := strconv.Atoi(name); err == nil && of.Kind == yaml.SequenceNode && i < len(of.Content) {
		return of.Content[i], of.Content[i]
	}
	for i := 0; of.Kind == yaml.MappingNode && i+1 < len(of.Content); i += 2 {
		if of.Content[i].Value == name {
			return of.Content[i], of.Content[i+1]
		}
	}
	return nil, nil
}
