package leak

import (
	"net"
	"strings"
	"testing"
)

func TestWhatIsLeftBehindIsNamed(t *testing.T) {
	before := Now()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		<-stop
	}()
	if err := before.check(); err == nil || !strings.Contains(err.Error(), "TestWhatIsLeftBehindIsNamed") {
		t.Errorf("check with a goroutine left: %v, want its name", err)
	}
	close(stop)
	<-stopped

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := before.check(); err == nil || !strings.Contains(err.Error(), "descriptors") {
		t.Errorf("check with a listener left: %v, want file descriptors", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := before.Check(); err != nil {
		t.Errorf("check with nothing left: %v", err)
	}
}
