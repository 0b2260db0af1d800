package machine

import (
	"encoding/binary"
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

// SendMemory is the kernel memory of what the sockets with a local port have
// yet to send, in bytes with all bookkeeping, and how many sockets have some.
func SendMemory(port uint16) (total, sockets int, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, 0, fmt.Errorf("socket diagnosis: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, diagRequest(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, 0, fmt.Errorf("socket diagnosis: %w", err)
	}
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return 0, 0, fmt.Errorf("socket diagnosis: %w", err)
		}
		for data := buffer[:n]; len(data) >= netlinkHeaderSize; {
			size := int(binary.NativeEndian.Uint32(data))
			if size < netlinkHeaderSize || size > len(data) {
				return 0, 0, fmt.Errorf("socket diagnosis: a message of %d bytes", size)
			}
			switch binary.NativeEndian.Uint16(data[4:]) {
			case unix.NLMSG_DONE:
				return total, sockets, nil
			case unix.NLMSG_ERROR:
				return 0, 0, fmt.Errorf("socket diagnosis: refused")
			}
			if queued := queuedAt(data[netlinkHeaderSize:size], port); queued > 0 {
				total, sockets = total+queued, sockets+1
			}
			data = data[min(align(size), len(data)):]
		}
	}
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
