package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// What linux/io_uring.h says. The numbers of the calls are the same on every
// architecture.
const (
	sysSetup = 425
	sysEnter = 426

	offsetSubmissions = 0
	offsetCompletions = 0x8000000
	offsetEntries     = 0x10000000

	opSend       = 26
	getEvents    = 1
	entrySize    = 64
	completion   = 16
	entrySend    = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
	paramsBytes  = 120
	paramsSubmit = 40 // where io_sqring_offsets begin
	paramsDone   = 80 // where io_cqring_offsets begin
)

// maxBytes is after how many bytes no more sends go together, however few they are.
const maxBytes = 256 << 10

// Ring sends for one goroutine at a time.
type Ring struct {
	fd                                int
	submissions, completions, entries []byte // shared with the kernel

	// In the shared memory.
	head, tail *uint32 // of what is submitted
	doneHead   *uint32
	doneTail   *uint32
	doneMask   uint32
	mask       uint32
	done       []byte // the completions themselves

	waiting  []Sender // for the next Flush
	underWay []Sender // by the number that the kernel gives back
	failed   bool
}

// New makes a ring and tries it.
func New() (*Ring, error) {
	r, err := open()
	if err == nil {
		err = r.try()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return r, nil
}

func open() (*Ring, error) {
	var params [paramsBytes]byte
	fd, _, errno := syscall.Syscall(sysSetup, Size, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return nil, errno
	}
	r := &Ring{fd: int(fd)}
	syscall.CloseOnExec(r.fd)
	number := func(at int) uint32 { return binary.NativeEndian.Uint32(params[at:]) }
	if err := r.share(number); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	in := func(memory []byte, at int) *uint32 { return (*uint32)(unsafe.Pointer(&memory[number(at)])) }
	r.head, r.tail = in(r.submissions, paramsSubmit), in(r.submissions, paramsSubmit+4)
	r.mask = *in(r.submissions, paramsSubmit+8)
	r.doneHead, r.doneTail = in(r.completions, paramsDone), in(r.completions, paramsDone+4)
	r.doneMask = *in(r.completions, paramsDone+8)
	r.done = r.completions[number(paramsDone+20):]
	for i := range uint32(Size) { // each place of the queue has the entry of its number
		binary.NativeEndian.PutUint32(r.submissions[number(paramsSubmit+24)+4*i:], i)
	}
	return r, nil
}

// share maps what the kernel shares.
func (r *Ring) share(number func(at int) uint32) (err error) {
	for _, part := range []struct {
		memory *[]byte
		offset int64
		size   uint32
	}{
		{&r.submissions, offsetSubmissions, number(paramsSubmit+24) + 4*number(0)},
		{&r.completions, offsetCompletions, number(paramsDone+20) + completion*number(4)},
		{&r.entries, offsetEntries, entrySize * number(0)},
	} {
		*part.memory, err = syscall.Mmap(r.fd, part.offset, int(part.size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_POPULATE)
		if err != nil {
			return err
		}
	}
	return nil
}

// Close frees the ring.
func (r *Ring) Close() error {
	err := syscall.Close(r.fd)
	for _, memory := range [][]byte{r.submissions, r.completions, r.entries} {
		if memory != nil {
			err = errors.Join(err, syscall.Munmap(memory))
		}
	}
	return err
}

// Add has a sender sent to with the next Flush. It returns false if the ring does
// not work any more.
func (r *Ring) Add(s Sender) bool {
	if r.failed {
		return false
	}
	r.waiting = append(r.waiting, s)
	return true
}

// Flush sends to all that were added.
func (r *Ring) Flush() {
	for left := r.waiting; len(left) > 0; {
		left = left[r.send(left):]
	}
	clear(r.waiting)
	r.waiting = r.waiting[:0]
}

// send sends to the first of some, as many as go together, and returns how many
// they were.
func (r *Ring) send(some []Sender) (done int) {
	tail, size := *r.tail, 0
	for ; done < len(some) && done < Size && size < maxBytes; done++ {
		if fd, b := some[done].Begin(); len(b) > 0 {
			r.prepare(tail&r.mask, fd, b, len(r.underWay))
			r.underWay = append(r.underWay, some[done])
			size += len(b)
			tail++
		}
	}
	atomic.StoreUint32(r.tail, tail)
	r.submit(tail)
	return done
}

// submit makes the sends up to tail. Who submits has their results: none of them
// waits.
//
// The runtime is not told of the call: it would think the thread stuck after 20 µs, have
// another take its place, and pay for both to change back, for each of them.
func (r *Ring) submit(tail uint32) {
	left := len(r.underWay)
	if left > 0 {
		_, _, _ = syscall.RawSyscall6(sysEnter, uintptr(r.fd), uintptr(left), 0, 0, 0, 0) // what fails is tried again
		left -= r.complete()
	}
	for left > 0 {
		toSubmit := tail - atomic.LoadUint32(r.head)
		_, _, errno := syscall.Syscall6(sysEnter, uintptr(r.fd), uintptr(toSubmit), uintptr(left), getEvents, 0, 0)
		left -= r.complete()
		if errno != 0 && errno != syscall.EINTR {
			r.failed = true // results may still come of what was given up
			break
		}
	}
	for i, s := range r.underWay {
		if s != nil {
			s.End(0, nil) // the sender finds another way
		}
		r.underWay[i] = nil
	}
	r.underWay = r.underWay[:0]
}

// prepare writes the entry of one send.
func (r *Ring) prepare(place uint32, fd int, b []byte, number int) {
	entry := r.entries[entrySize*place:][:entrySize]
	clear(entry)
	entry[0] = opSend
	binary.NativeEndian.PutUint32(entry[4:], uint32(fd))
	binary.NativeEndian.PutUint64(entry[16:], uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))))
	binary.NativeEndian.PutUint32(entry[24:], uint32(len(b)))
	binary.NativeEndian.PutUint32(entry[28:], entrySend)
	binary.NativeEndian.PutUint64(entry[32:], uint64(number))
}

// complete hands out the results that there are, and returns how many.
func (r *Ring) complete() (n int) {
	tail := atomic.LoadUint32(r.doneTail)
	head := *r.doneHead
	for ; head != tail; head++ {
		result := r.done[completion*(head&r.doneMask):]
		number := binary.NativeEndian.Uint64(result)
		sent := int32(binary.NativeEndian.Uint32(result[8:]))
		s := r.underWay[number]
		r.underWay[number] = nil
		switch errno := syscall.Errno(-sent); {
		case sent >= 0:
			s.End(int(sent), nil)
		case errno == syscall.EAGAIN || errno == syscall.EINTR:
			s.End(0, nil)
		default:
			s.End(0, errno)
		}
		n++
	}
	atomic.StoreUint32(r.doneHead, head)
	return n
}

// pair is one end of a connection, to try the ring with.
type pair struct {
	fd   int
	sent int
	err  error
}

func (p *pair) Begin() (int, []byte) { return p.fd, []byte("ring") }
func (p *pair) End(n int, err error) { p.sent, p.err = n, err }

// try sends something to itself.
func (r *Ring) try() error {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	p := &pair{fd: ends[0]}
	r.Add(p)
	r.Flush()
	err = errors.Join(p.err, syscall.Close(ends[0]), syscall.Close(ends[1]))
	if err == nil && p.sent == 0 {
		err = errors.New("it sends nothing")
	}
	if err != nil {
		err = errors.Join(err, r.Close())
	}
	return err
}
