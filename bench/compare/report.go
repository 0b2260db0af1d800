package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Report is what was found.
type Report struct {
	Time     time.Time         `json:"time"`
	Machine  string            `json:"machine"`
	Versions map[string]string `json:"versions"`
	Settings string            `json:"settings"`
	Samples  []Sample          `json:"samples"`

	contenders []Contender
}

// Sample is what one visit to one contender found.
type Sample struct {
	Contender string             `json:"contender"`
	Measure   string             `json:"measure"`
	Round     int                `json:"round"`
	Foreign   float64            `json:"foreign"` // share of the machine that others took
	Kept      bool               `json:"kept"`
	Values    map[string]float64 `json:"values,omitempty"`
	Flaw      string             `json:"flaw,omitempty"`
	Error     string             `json:"error,omitempty"`
}

// String is the sample on one line.
func (s Sample) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %-9s %-28s", s.Round, s.Measure, s.Contender)
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		fmt.Fprintf(&b, "  %s %s", name, figure(s.Values[name]))
	}
	fmt.Fprintf(&b, "  foreign %.0f %%", 100*s.Foreign)
	for _, text := range []string{s.Flaw, s.Error} {
		if text != "" {
			fmt.Fprintf(&b, "  %s", text)
		}
	}
	return b.String()
}

func newReport(o Options) (*Report, error) {
	found, err := versions(o.Binaries)
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	r := &Report{
		Time: time.Now().UTC().Truncate(time.Second), Machine: describeMachine(), Versions: found,
		Settings: fmt.Sprintf("%d subscribers, %g messages/s of %d bytes for %v, window %d, %d set up, %d idle, %d rounds, noise at most %.0f %%",
			o.Subscribers, o.Rate, o.Size, o.Duration, o.Window, o.Setups, o.Idle, o.Rounds, 100*o.Noise),
	}
	for _, c := range Contenders() {
		if o.Only.MatchString(c.Name) {
			r.contenders = append(r.contenders, c)
		}
	}
	return r, nil
}

// describeMachine is its processor and kernel.
func describeMachine() string {
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo") // not on every architecture
	if _, after, found := strings.Cut(string(text), "model name\t: "); found {
		model, _, _ = strings.Cut(after, "\n")
	}
	kernel := "unknown"
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		kernel = unix.ByteSliceToString(name.Release[:])
	}
	return fmt.Sprintf("%s, %d processors, Linux %s, %s", model, runtime.NumCPU(), kernel, runtime.GOARCH)
}

// clean is how many samples of a contender are kept.
func (r *Report) clean(contender, measure string) int {
	n := 0
	for _, s := range r.Samples {
		if s.Contender == contender && s.Measure == measure && s.Kept {
			n++
		}
	}
	return n
}

// median is that of the samples kept or, where there are none, of the noisy
// ones.
func (r *Report) median(contender, metric string) (value float64, noisy, found bool) {
	var kept, thrown []float64
	for _, s := range r.Samples {
		value, has := s.Values[metric]
		switch {
		case s.Contender != contender || !has:
		case s.Kept:
			kept = append(kept, value)
		default:
			thrown = append(thrown, value)
		}
	}
	noisy = len(kept) == 0
	if noisy {
		kept = thrown
	}
	if len(kept) == 0 {
		return 0, false, false
	}
	slices.Sort(kept)
	return (kept[(len(kept)-1)/2] + kept[len(kept)/2]) / 2, noisy, true
}

// WriteJSON writes all samples.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// Failures are the samples that could not be taken, or with messages that did
// not come as they should.
func (r *Report) Failures() []Sample {
	return slices.DeleteFunc(slices.Clone(r.Samples), func(s Sample) bool { return s.Flaw == "" && s.Error == "" })
}
