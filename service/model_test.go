package service_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// TestModel runs random programs against the service and the model. Set
// MODEL_OPERATIONS for more of them, and MODEL_SEED for others.
func TestModel(t *testing.T) {
	operations, seed := fromEnvironment("MODEL_OPERATIONS", 30_000), fromEnvironment("MODEL_SEED", 1)
	total := counts{}
	for number := fromEnvironment("MODEL_PROGRAM", 0); total.operations < operations; number++ {
		program := randomProgram(uint64(seed), uint64(number), 6000)
		ok := t.Run(strconv.Itoa(number), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runTrial(t, program, &total) })
		})
		if !ok {
			t.Fatalf("seed %d, program %d", seed, number)
		}
	}
	t.Logf("seed %d: %+v", seed, total)
}

// FuzzModel looks for programs that break the rules.
func FuzzModel(f *testing.F) {
	fuzzPrograms(f, func(t *testing.T, program []byte) {
		t.Helper()
		runTrial(t, program, &counts{})
	})
}

func fuzzPrograms(f *testing.F, run func(*testing.T, []byte)) {
	f.Helper()
	for seed := range uint64(10) {
		f.Add(randomProgram(seed, 0, 1000))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 10_000 {
			t.Skip("as good as two shorter ones")
		}
		synctest.Test(t, func(t *testing.T) { run(t, program) })
	})
}

// randomProgram has fewer choices than the limit.
func randomProgram(seed, number uint64, limit int) []byte {
	random := rand.New(rand.NewPCG(seed, number))
	program := make([]byte, 1+random.IntN(limit))
	for i := range program {
		program[i] = byte(random.Uint32())
	}
	return program
}

func fromEnvironment(name string, standard int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return standard
}

// counts say how much was tried.
type counts struct{ operations, published, taken, sessions, gaps, checkpoints, settled, restarts, slow int }

// trial is one program, and what it runs on.
type trial struct {
	t *testing.T
	*script
	n       *node
	model   *model
	all     []*modelMessage // by the number that is their payload
	readers []*modelReader
	left    []*millracev1.Subscription // where views ended, as what resumes there
	calm    bool                       // every operation is waited for
	counts  *counts
	past    []string // operations, for whoever reads a failure
}

func runTrial(t *testing.T, program []byte, total *counts) {
	t.Helper()
	w := &trial{t: t, script: &script{left: program}, counts: total}
	w.calm = w.pick(2) == 0
	w.boot()
	for !w.isOver() && !t.Failed() {
		w.operate()
		w.counts.operations++
		if w.calm || w.pick(4) == 0 {
			w.settle()
		}
	}
	w.finish()
}

func (w *trial) boot() {
	config := service.Config{Limits: service.Limits{PendingBytes: modelBudget, ReplayMessages: modelReplay, PatternChannels: 2}}
	for _, name := range modelNames {
		config.Rules = append(config.Rules, service.Rule{Pattern: name, History: modelChannels[name]})
	}
	w.n = start(w.t, config)
	w.model = newModel(w.n)
	w.all = nil
}

// script is a program: the choices that it makes, one after the other.
type script struct{ left []byte }

func (s *script) isOver() bool { return len(s.left) == 0 }

// pick takes the next choice of so many.
func (s *script) pick(of int) int {
	if s.isOver() {
		return 0
	}
	choice := int(s.left[0]) % of
	s.left = s.left[1:]
	return choice
}

func (w *trial) notef(format string, args ...any) {
	w.past = append(w.past, fmt.Sprintf(format, args...))
}

func (w *trial) faultf(format string, args ...any) {
	w.t.Helper()
	if w.t.Failed() {
		return
	}
	last := w.past[max(0, len(w.past)-60):]
	w.t.Errorf("%s\nafter:\n\t%s", fmt.Sprintf(format, args...), strings.Join(last, "\n\t"))
}

// operate does one thing at random.
func (w *trial) operate() {
	switch p := w.pick(100); {
	case p < 36:
		w.publish(modelNames[w.pick(len(modelNames))])
	case p < 41:
		w.publishBatch()
	case p < 45:
		channel := modelNames[w.pick(len(modelNames))]
		for range w.pick(30) {
			w.publish(channel)
			if w.calm {
				w.settle()
			}
		}
	case p < 51:
		w.open()
	case p < 61:
		w.add()
	case p < 67:
		w.remove()
	case p < 72:
		w.lose()
	case p < 79:
		w.stall()
	case p < 87:
		w.release()
	case p < 91:
		w.wait()
	case p < 94:
		w.history()
	case p < 99:
		w.settle()
	case w.pick(4) == 0:
		w.restart()
	}
}

// someReader is one of the sessions that are open, nil if there is none.
func (w *trial) someReader() *modelReader {
	if len(w.readers) == 0 {
		return nil
	}
	return w.readers[w.pick(len(w.readers))]
}

// wait lets time go by.
func (w *trial) wait() {
	d := []time.Duration{time.Millisecond, time.Second, 5 * time.Second, 16 * time.Second, time.Minute, 6 * time.Minute}[w.pick(6)]
	w.settle()
	w.notef("wait %v", d)
	time.Sleep(d)
	w.settle()
}

var errRestart = errors.New("restart")

func (w *trial) restart() {
	w.notef("restart")
	w.counts.restarts++
	w.settle()
	w.n.close()
	for _, r := range w.readers {
		r.look()
		r.ended(errRestart)
	}
	w.readers = nil
	w.boot()
}

// settle waits until nothing moves, and looks at what has come.
func (w *trial) settle() {
	synctest.Wait()
	w.readers = slices.DeleteFunc(w.readers, func(r *modelReader) bool {
		r.look()
		return r.isOver()
	})
}

// finish releases everybody, and fails where something has not come.
func (w *trial) finish() {
	for _, r := range w.readers {
		r.c.goOn()
		r.stalled = false
	}
	w.settle()
	time.Sleep(20 * time.Second) // checkpoints come with heartbeats
	w.settle()
	for _, r := range w.readers {
		for _, v := range r.views {
			if rest := v.rest(); rest != "" {
				w.faultf("%s: in the end %s", r, rest)
			}
		}
	}
}
