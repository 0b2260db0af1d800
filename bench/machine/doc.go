// Package machine reads what processes take of this machine: processor time,
// memory, and kernel memory of sockets. It works on Linux.
package machine
