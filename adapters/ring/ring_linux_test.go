package ring_test

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"millrace.dev/adapters/ring"
)

// end is one end of a connection, and what became of the sends to it.
type end struct {
	fd, far int
	next    []byte
	sent    []int
	errs    []error
}

func (e *end) Begin() (int, []byte) { return e.fd, e.next }

func (e *end) End(n int, err error) {
	e.sent, e.errs, e.next = append(e.sent, n), append(e.errs, err), e.next[n:]
}

func newRing(t *testing.T) *ring.Ring {
	t.Helper()
	r, err := ring.New()
	if errors.Is(err, ring.ErrUnsupported) {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func newEnd(t *testing.T) *end {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{fd: fds[0], far: fds[1]}
	t.Cleanup(func() {
		for _, fd := range []int{e.fd, e.far} {
			if err := syscall.Close(fd); err != nil {
				t.Error(err)
			}
		}
	})
	return e
}

func TestAFlushSendsToAllThatWereAddedEachItsOwn(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	const many = 3*ring.Size + 7
	var ends []*end
	for range many {
		ends = append(ends, newEnd(t))
	}
	for round := range 20 {
		for i, e := range ends {
			if e.next = nil; (i+round)%5 > 0 { // some have been sent to already
				e.next = []byte{byte(i), byte(i >> 8), byte(round)}
			}
			if !r.Add(e) {
				t.Fatal("the ring has failed")
			}
		}
		r.Flush()
	}
	for i, e := range ends {
		var want, got []byte
		for round := range 20 {
			if (i+round)%5 > 0 {
				want = append(want, byte(i), byte(i>>8), byte(round))
			}
		}
		got = make([]byte, 2*len(want))
		n, err := syscall.Read(e.far, got)
		if err != nil || !bytes.Equal(got[:n], want) {
			t.Fatalf("connection %d was sent %v, %v; want %v", i, got[:max(n, 0)], err, want)
		}
		if err := errors.Join(e.errs...); err != nil || len(e.sent) != len(want)/3 {
			t.Errorf("connection %d: %d results, %v", i, len(e.sent), err)
		}
	}
}

func TestNothingWaitsForAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	full, other := newEnd(t), newEnd(t)
	full.next, other.next = make([]byte, 16<<20), []byte("x")
	for range 2 {
		r.Add(full)
		r.Add(other)
		r.Flush()
		other.next = []byte("x")
	}
	if err := errors.Join(full.errs...); err != nil || len(full.sent) != 2 || full.sent[0] == 0 || len(full.next) == 0 || full.sent[1] != 0 {
		t.Errorf("sends to a client that does not read: %v, %v", full.sent, err)
	}
	if err := errors.Join(other.errs...); err != nil || len(other.sent) != 2 || other.sent[0]+other.sent[1] != 2 {
		t.Errorf("sends to another client: %v, %v", other.sent, err)
	}
}

func TestAConnectionThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	gone, other := newEnd(t), newEnd(t)
	if err := syscall.Shutdown(gone.fd, syscall.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	gone.next, other.next = []byte("x"), []byte("x")
	r.Add(gone)
	r.Add(other)
	r.Flush()
	if len(gone.errs) != 1 || !errors.Is(gone.errs[0], syscall.EPIPE) {
		t.Errorf("the send to a connection that is gone: %v", gone.errs)
	}
	if len(other.sent) != 1 || other.sent[0] != 1 {
		t.Errorf("the send to another: %v", other.sent)
	}
}

func TestAFlushAllocatesNothing(t *testing.T) {
	r := newRing(t)
	e := newEnd(t)
	e.sent, e.errs = make([]int, 0, 2000), make([]error, 0, 2000)
	message, read := []byte("a message"), make([]byte, 64)
	allocated := testing.AllocsPerRun(1000, func() {
		e.next = message
		r.Add(e)
		r.Flush()
		if n, err := syscall.Read(e.far, read); n != len(message) {
			t.Errorf("read %d, %v", n, err)
		}
	})
	if allocated > 0 {
		t.Errorf("a flush allocates %v times", allocated)
	}
}

// weight counts the bytes that are on their way together.
type weight struct {
	*end
	now, most *int
}

func (w weight) Begin() (int, []byte) {
	fd, b := w.end.Begin()
	*w.now += len(b)
	*w.most = max(*w.most, *w.now)
	return fd, b
}

func (w weight) End(n int, err error) {
	*w.now -= len(w.next)
	w.end.End(n, err)
}

func TestFewLargeSendsGoTogether(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	var now, most int
	var ends []*end
	for range ring.Size {
		e := newEnd(t)
		e.next = make([]byte, 64<<10)
		ends = append(ends, e)
		r.Add(weight{e, &now, &most})
	}
	r.Flush()
	if most > 256<<10 || now != 0 {
		t.Errorf("%d bytes went together, %d of them have no result; want at most 256 KiB, and 0", most, now)
	}
	for i, e := range ends {
		if len(e.sent) != 1 || e.sent[0] == 0 || e.errs[0] != nil {
			t.Errorf("connection %d was sent %v, %v", i, e.sent, e.errs)
		}
	}
}
