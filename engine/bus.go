package engine

// Bus carries what the nodes that share channels say to one another.
//
//   - At most once: what a node misses it is not told again.
//   - In order: what one node says, another one hears in that order.
//   - A node does not hear itself.
type Bus interface {
	// Join gives this node a name. From then on hear is called with what is told to
	// it or to all, one after another, until the engine is closed.
	Join(node string, hear func(data []byte)) error
	// Tell says something to the node of a name; to all nodes for the empty name.
	// That it returns no error does not mean that anybody has heard.
	Tell(node string, data []byte) error
	// IsUp reports whether this node can be heard. While it cannot, the silence of
	// others says nothing about them.
	IsUp() bool
}
