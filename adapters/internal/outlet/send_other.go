//go:build !linux

package outlet

// Without a direct way, a goroutine writes whatever is sent.
const canSend = false

func send(uintptr, []byte) (int, error) { return 0, nil }
