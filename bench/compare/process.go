package compare

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// resultLine is what a benchmark prints: its name, and what it took; where it says so,
// for each delivery.
var resultLine = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:\s+([\d.]+) ns/delivery)?`)

// inProcess is what many subscribers, and many channels, add to the cost of each
// message, without a wire: the service's own benchmarks.
func (h *harness) inProcess(ctx context.Context, _ Contender) (sample, error) {
	module, err := moduleDir(ctx)
	if err != nil {
		return sample{}, err
	}
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(DeliverToMany|PublishToOneOfMany)$", "-benchtime", h.Process, "./service")
	command.Dir = filepath.Dir(module)
	text, err := command.CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("run the service's benchmarks: %w: %s", err, text)
	}
	values, err := growth(string(text))
	return sample{values: values}, err
}

// growth reads what the benchmarks say, and divides the many by the few.
func growth(text string) (map[string]float64, error) {
	figures := map[string]float64{}
	for _, line := range resultLine.FindAllStringSubmatch(text, -1) {
		var err error
		if figures[line[1]], err = strconv.ParseFloat(cmp.Or(line[3], line[2]), 64); err != nil {
			return nil, fmt.Errorf("%q: %w", line[0], err)
		}
	}
	few, many := figures["DeliverToMany/sessions=1000"], figures["DeliverToMany/sessions=100000"]
	fewChannels, manyChannels := figures["PublishToOneOfMany/channels=100"], figures["PublishToOneOfMany/channels=100000"]
	if few*many*fewChannels*manyChannels == 0 {
		return nil, fmt.Errorf("a benchmark is missing: %s", text)
	}
	return map[string]float64{
		"deliver": many, "deliver growth": many / few, "publish": manyChannels, "publish growth": manyChannels / fewChannels,
	}, nil
}
