package peer

import "sync"

// queued is how many messages may wait for a subscriber: what the last one in a
// saturated server may lag behind. Pointers, because all of it is taken at once.
const queued = 1024

// Hub is the usual one: a goroutine and a channel for each subscriber. One that
// does not read loses its subscription.
type Hub[T any] struct {
	mu          sync.Mutex
	subscribers map[chan *T]struct{}
}

// Subscribe returns what will be published from now on; it is closed when the
// subscriber is too slow.
func (h *Hub[T]) Subscribe() chan *T {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers == nil {
		h.subscribers = map[chan *T]struct{}{}
	}
	messages := make(chan *T, queued)
	h.subscribers[messages] = struct{}{}
	return messages
}

// Unsubscribe takes a subscription back.
func (h *Hub[T]) Unsubscribe(messages chan *T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, messages)
}

// Publish hands a message to all subscribers.
func (h *Hub[T]) Publish(message T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for messages := range h.subscribers {
		select {
		case messages <- &message:
		default:
			delete(h.subscribers, messages)
			close(messages)
		}
	}
}
