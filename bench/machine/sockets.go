package machine

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// From linux/sock_diag.h and linux/inet_diag.h.
const (
	sockDiagByFamily  = 20
	diagSkMemInfo     = 7  // the attribute, and the bit of the request is one less
	requestSize       = 56 // struct inet_diag_req_v2
	messageSize       = 72 // struct inet_diag_msg
	localPortAt       = 4  // in the socket id of a message
	skMemWriteQueued  = 5  // the index in the attribute
	netlinkHeaderSize = unix.SizeofNlMsghdr
	attributeHead     = 4
	allStates         = 1<<32 - 1
)

// SendMemory is the kernel memory of what each socket with a local port has yet
// to send, in bytes with all bookkeeping. Sockets that have nothing are left out.
func SendMemory(port uint16) (sockets []int, err error) {
	err = dump(diagRequest(), func(message []byte) {
		if queued := queuedAt(message, port); queued > 0 {
			sockets = append(sockets, queued)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("socket diagnosis: %w", err)
	}
	return sockets, nil
}

// dump asks the kernel, and shows each message of its answer.
func dump(request []byte, show func(message []byte)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return err
	}
	err = unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	buffer := make([]byte, 64<<10)
	for last := false; err == nil && !last; {
		var n int
		if n, _, err = unix.Recvfrom(fd, buffer, 0); err == nil {
			last, err = each(buffer[:n], show)
		}
	}
	return errors.Join(err, unix.Close(fd))
}

// each shows the messages of one datagram, and reports whether it was the last.
func each(data []byte, show func(message []byte)) (last bool, err error) {
	for len(data) >= netlinkHeaderSize {
		size := int(binary.NativeEndian.Uint32(data))
		if size < netlinkHeaderSize || size > len(data) {
			return false, fmt.Errorf("a message of %d bytes in %d", size, len(data))
		}
		switch binary.NativeEndian.Uint16(data[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			return false, errors.New("the kernel refuses")
		}
		show(data[netlinkHeaderSize:size])
		data = data[min(align(size), len(data)):]
	}
	return false, nil
}

// diagRequest asks for all TCP sockets of IPv4, with their memory.
func diagRequest() []byte {
	b := make([]byte, netlinkHeaderSize+requestSize)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request := b[netlinkHeaderSize:]
	request[0], request[1], request[2] = unix.AF_INET, unix.IPPROTO_TCP, 1<<(diagSkMemInfo-1)
	binary.NativeEndian.PutUint32(request[4:], allStates)
	return b
}

// queuedAt reads one socket's answer.
func queuedAt(message []byte, port uint16) int {
	if len(message) < messageSize || binary.BigEndian.Uint16(message[localPortAt:]) != port {
		return 0
	}
	for rest := message[messageSize:]; len(rest) >= attributeHead; {
		size := int(binary.NativeEndian.Uint16(rest))
		if size < attributeHead || size > len(rest) {
			return 0
		}
		value := rest[attributeHead:size]
		if at := 4 * skMemWriteQueued; binary.NativeEndian.Uint16(rest[2:]) == diagSkMemInfo && len(value) >= at+4 {
			return int(binary.NativeEndian.Uint32(value[at:]))
		}
		rest = rest[min(align(size), len(rest)):]
	}
	return 0
}

// align is how netlink pads.
func align(size int) int { return (size + 3) &^ 3 }
