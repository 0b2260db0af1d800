package compare

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// metrics are the columns of the tables.
var metrics = []struct {
	name, title string
	ratio       bool // it says something to divide ours by another's
	inProcess   bool // there is no wire, and nobody else
}{
	{"cpu", "CPU a delivery, µs", true, false},
	{"allocations", "allocations a delivery", false, false},
	{"p50", "p50, ms", true, false},
	{"p99", "p99, ms", true, false},
	{"p999", "p99.9, ms", true, false},
	{"held", "rate held", false, false},
	{"burst cpu", "CPU a delivery in bursts, µs", true, false},
	{"burst p99", "p99 in bursts, ms", true, false},
	{"deliveries", "saturated: deliveries/s", true, false},
	{"saturated cpu", "saturated: CPU a delivery, µs", true, false},
	{"saturated p99", "saturated: p99, ms", true, false},
	{"server busy", "saturated: server's processor", false, false},
	{"setup", "setup, µs CPU", true, false},
	{"idle", "idle, KB", true, false},
	{"stalled", "stalled reader, KB of kernel", true, false},
	{"stalled p99", "others' p99 when 10 % stall", false, false},
	{"elsewhere p99", "publishing elsewhere: p99, ms", true, false},
	{"subscribe p99", "subscribing elsewhere: p99, ms", true, false},
	{"broadcast busy", "server's processor", false, false},
	{"deliver", "a delivery to one of 100,000, ns", false, true},
	{"deliver growth", "the same, divided by one of 1,000", false, true},
	{"publish", "a publish to one of 100,000 channels, ns", false, true},
	{"publish growth", "the same, divided by one of 100", false, true},
}

// WriteMarkdown writes a table of each group, and how ours stands to each other
// contender in it.
func (r *Report) WriteMarkdown(w io.Writer) {
	fmt.Fprintf(w, "%s; %s.\n\n%s.\n", r.Machine, r.versionText(), r.Settings)
	for _, group := range groups {
		members := r.members(group)
		if len(members) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n## %s\n\n", group)
		r.writeValues(w, members)
		for _, ours := range members {
			if ours.Ours {
				r.writeRatios(w, ours, members)
			}
		}
	}
	r.writeNoise(w)
}

func (r *Report) versionText() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		parts = append(parts, name+" "+r.Versions[name])
	}
	return strings.Join(parts, ", ")
}

func (r *Report) members(group string) []Contender {
	return slices.DeleteFunc(slices.Clone(r.contenders), func(c Contender) bool { return !slices.Contains(c.Groups, group) })
}

func (r *Report) writeValues(w io.Writer, members []Contender) {
	var rows [][]string
	for _, m := range metrics {
		row, measured := []string{m.title}, false
		for _, c := range members {
			value, noisy, found := r.median(c.Name, m.name)
			row = append(row, cell(value, noisy, found))
			measured = measured || found
		}
		if measured {
			rows = append(rows, row)
		}
	}
	writeTable(w, header("", members), rows)
}

// writeRatios divides ours by every other's.
func (r *Report) writeRatios(w io.Writer, ours Contender, members []Contender) {
	others := slices.DeleteFunc(slices.Clone(members), func(c Contender) bool { return c.Ours })
	var rows [][]string
	for _, m := range metrics {
		mine, noisy, found := r.median(ours.Name, m.name)
		if !m.ratio || !found {
			continue
		}
		row := []string{m.title}
		for _, c := range others {
			theirs, alsoNoisy, found := r.median(c.Name, m.name)
			row = append(row, cell(mine/theirs, noisy || alsoNoisy, found && theirs != 0))
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 || len(others) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s, divided by the other's:\n\n", ours.Name)
	writeTable(w, header("", others), rows)
}

func header(first string, members []Contender) []string {
	row := []string{first}
	for _, c := range members {
		row = append(row, c.Name)
	}
	return row
}

func writeTable(w io.Writer, header []string, rows [][]string) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat(" --- |", len(header)))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// cell marks what comes only from samples that should have been thrown away.
func cell(value float64, noisy, found bool) string {
	switch {
	case !found:
		return ""
	case noisy:
		return "~" + figure(value)
	}
	return figure(value)
}

// figure has three digits that count.
func figure(value float64) string {
	if value == 0 {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(value))))
	return fmt.Sprintf("%.*f", max(digits, 0), value)
}

// writeNoise says what was thrown away, and what went wrong.
func (r *Report) writeNoise(w io.Writer) {
	thrown, measured, foreign := 0, 0, 0.0
	for _, s := range r.Samples {
		if s.Error != "" || s.Measure == "idle" {
			continue
		}
		measured++
		foreign += s.Foreign
		if !s.Kept {
			thrown++
		}
	}
	fmt.Fprintf(w, "\nOther processes took %.0f %% of the machine on average. %d of %d samples were too noisy and thrown away; figures with ~ have no other.\n",
		100*foreign/float64(max(1, measured)), thrown, measured)
	failures := r.Failures()
	slices.SortStableFunc(failures, func(a, b Sample) int { return cmp.Compare(a.Contender, b.Contender) })
	for _, s := range failures {
		fmt.Fprintf(w, "\n- %s, %s, round %d: %s%s", s.Contender, s.Measure, s.Round, s.Flaw, s.Error)
	}
	if len(failures) > 0 {
		fmt.Fprintln(w)
	}
}
