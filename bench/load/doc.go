// Package load is a client of many connections on one thread: it subscribes on
// any wire, publishes over HTTP, and says what was delivered, how late, and
// whether anything was lost or came in another order.
//
// What it guarantees:
//   - Every message carries a marker with its publisher, number and send time.
//     The client finds it whatever the framing, also cut in two by a frame.
//   - Per subscriber and publisher the numbers rise by one; anything else is
//     counted as a hole or as misordered.
//   - A delivery is counted once, when its bytes were read, and its latency is
//     from before the publishing request was written to after the read.
//   - It works with one goroutine, in the caller's: nothing else of the process
//     takes part in what is measured.
package load
