package enginetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"millrace.dev/engine"
)

func keptPromises(options Options) []promise {
	if !options.Durable {
		return nil
	}
	return []promise{
		{"what is kept is heard in order, by who was there and by who comes later", heardInOrder},
		{"what was kept for a time is not heard after it", forgottenInTime},
	}
}

// ear is what was heard.
type ear struct {
	mu    sync.Mutex
	heard []string
}

func (e *ear) hear(data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, string(data))
}

// not says what was heard, where that is not this in this order.
func (e *ear) not(want ...string) func() string {
	return func() string {
		e.mu.Lock()
		defer e.mu.Unlock()
		if slices.Equal(e.heard, want) {
			return ""
		}
		return fmt.Sprintf("heard %q, want %q", e.heard, want)
	}
}

func (s *subject) keeper() engine.Keeper {
	k, ok := s.Engine.(engine.Keeper)
	if !ok {
		s.Fatal("a durable engine keeps nothing")
	}
	return k
}

func (s *subject) keep(key, data string, ttl time.Duration) {
	if err := s.keeper().Keep(s.Context(), key, []byte(data), ttl); err != nil {
		s.Fatalf("keep %s: %v", key, err)
	}
}

func (s *subject) listen() *ear {
	e := &ear{}
	if err := s.keeper().Kept(s.Context(), e.hear); err != nil {
		s.Fatalf("hear what is kept: %v", err)
	}
	return e
}

func heardInOrder(s *subject) {
	s.listen()
	s.keep("a", "one", time.Hour)
	s.keep("b *>%", "two", time.Hour)
	there := s.listen()
	s.keep("c.d", "three", time.Hour)
	s.eventually(there.not("one", "two", "three"))
	if err := s.Close(); err != nil {
		s.Error(err)
	}
	s.open()
	s.eventually(s.listen().not("one", "two", "three"))
}

func forgottenInTime(s *subject) {
	s.keep("a", "short", time.Second)
	s.keep("b", "long", time.Hour)
	s.eventually(func() string { return s.listen().not("long")() })
}
