package outlet

import (
	"errors"
	"syscall"
	"unsafe"
)

const canSend = true

// send is send(2) that takes what it can. One system call does without the
// preparations of the poller: a client that takes everything costs nothing more. It
// never waits, so the runtime need not be told.
func send(fd uintptr, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch {
		case errno == 0:
			return int(n), nil
		case errors.Is(errno, syscall.EAGAIN):
			return 0, nil
		case !errors.Is(errno, syscall.EINTR):
			return 0, errno
		}
	}
}
