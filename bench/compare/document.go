package compare

import (
	"fmt"
	"io"
	"strings"
)

// Marks in the document: what is between them is the run's, the rest is written by
// hand.
const (
	beginMark = "<!-- what follows is written by `make bench` -->"
	endMark   = "<!-- the end of what `make bench` writes -->"
)

// WriteDocument writes the document anew: what was measured takes the place of
// what an earlier run has found.
func (r *Report) WriteDocument(w io.Writer, earlier string) error {
	before, rest, found := strings.Cut(earlier, beginMark)
	_, after, ends := strings.Cut(rest, endMark)
	if !found || !ends {
		return fmt.Errorf("the document has no line %s with %s behind it", beginMark, endMark)
	}
	fmt.Fprintf(w, "%s%s\n\nMeasured on %s.\n\n", before, beginMark, r.Time.Format("2 January 2006, 15:04 MST"))
	r.WriteMarkdown(w)
	fmt.Fprint(w, "\n## Targets\n\n")
	r.WriteTargets(w)
	fmt.Fprintf(w, "\n%s%s", endMark, after)
	return nil
}
