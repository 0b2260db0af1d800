// Package service is one node of the server: everything between an engine,
// where channels live, and the adapters, which carry them to clients.
//
// What it guarantees (docs/PROTOCOL.md has the numbered rules):
//
//   - In one channel, every session on every wire sees the same sequence.
//   - A session that gives its position sees each kept message after it exactly
//     once, or a gap before any later message.
//   - A slow session slows nobody else: publishing never waits for a client.
//   - When UpdateSubscription returns, every message published later arrives.
//   - A frame is encoded at most once in each format, however many receive it.
//
// A message takes one straight line through it: Publish (publish.go) checks it
// and gives it to the engine, which calls hub.deliver (hub.go); the topic wakes
// its subscriptions (subscription.go), and each session's reader (session.go)
// collects what is new into a batch for its stream (subscribe.go).
package service
