package service

import (
	"cmp"
	"slices"
)

// subscriptions are those of a session, by their keys: sorted, because nearly all
// sessions have one or a few, for which a map would be the largest part of them.
type subscriptions []*subscription

// get finds a subscription, nil if it is not there.
func (all *subscriptions) get(key subKey) *subscription {
	if i, found := all.search(key); found {
		return (*all)[i]
	}
	return nil
}

// put adds a subscription that is not there.
func (all *subscriptions) put(sub *subscription) {
	i, _ := all.search(sub.key)
	*all = slices.Insert(*all, i, sub)
}

// take removes a subscription and returns it, nil if it is not there.
func (all *subscriptions) take(key subKey) *subscription {
	i, found := all.search(key)
	if !found {
		return nil
	}
	sub := (*all)[i]
	*all = slices.Delete(*all, i, i+1)
	return sub
}

func (all *subscriptions) search(key subKey) (place int, found bool) {
	return slices.BinarySearchFunc(*all, key, func(sub *subscription, key subKey) int { return sub.key.compare(key) })
}

// compare orders by name; the messages come before who is present.
func (key subKey) compare(other subKey) int {
	if order := cmp.Compare(key.name, other.name); order != 0 || key.presence == other.presence {
		return order
	}
	if other.presence {
		return -1
	}
	return 1
}
