package nats

import (
	"fmt"

	client "github.com/nats-io/nats.go"

	"millrace.dev/engine"
)

// bus implements [engine.Bus] on core NATS.
type bus struct{ *nats }

// Bus implements [engine.Engine].
func (e *nats) Bus() engine.Bus { return bus{e} }

// talkBuffer is how much others may say while this node listens to what they said
// before. What is more is lost, which is allowed.
const talkBuffer = 1 << 14

// Join implements [engine.Bus].
func (b bus) Join(node string, hear func([]byte)) error {
	talk := make(chan *client.Msg, talkBuffer)
	for _, to := range []string{allNodes, node} {
		if _, err := b.conn.ChanSubscribe(b.options.Prefix+nodeSpace+to, talk); err != nil {
			return fmt.Errorf("join the nodes: %w", err)
		}
	}
	b.running.Go(func() {
		for {
			select {
			case m := <-talk:
				hear(m.Data)
			case <-b.stop:
				return
			}
		}
	})
	return b.conn.FlushTimeout(requestTimeout)
}

// Tell implements [engine.Bus].
func (b bus) Tell(node string, data []byte) error {
	if node == "" {
		node = allNodes
	}
	return b.conn.Publish(b.options.Prefix+nodeSpace+node, data)
}

// IsUp implements [engine.Bus].
func (b bus) IsUp() bool { return b.conn.IsConnected() }
