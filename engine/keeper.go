package engine

import (
	"context"
	"time"
)

// Keeper is implemented by engines that do not forget all when they end. It keeps
// what nodes that come later must know.
type Keeper interface {
	// Keep stores data for a while under a key, in the place of what was stored under
	// it.
	Keep(ctx context.Context, key string, data []byte, ttl time.Duration) error
	// Kept calls hear with all that is kept, and from then on with what any node
	// keeps, one after another in the order in which it was kept, until the engine is
	// closed. Data that something else has taken the place of may be among it, before
	// that. hear must not call the engine.
	Kept(ctx context.Context, hear func(data []byte)) error
}
