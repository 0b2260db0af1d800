//go:build !linux

package main

import "net"

// limitUnsent has no effect where the kernel has no such limit.
func limitUnsent(net.Conn) {}
