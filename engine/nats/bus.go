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
				if !b.isEcho(m) {
					hear(m.Data)
				}
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
	return b.say(nodeSpace+node, data)
}

// say publishes something that this node is not to hear itself. A connection does
// not get what it has sent; but one that moves to another server gets there what was
// still on its way from the last one. So all that a node says has its voice, in the
// place of a subject for answers, which is the cheapest one.
func (e *nats) say(subject string, data []byte) error {
	return e.conn.PublishRequest(e.options.Prefix+subject, e.voice, data)
}

// isEcho reports whether this node has said something itself.
func (e *nats) isEcho(m *client.Msg) bool { return m.Reply == e.voice }

// IsUp implements [engine.Bus].
func (b bus) IsUp() bool { return b.conn.IsConnected() }
