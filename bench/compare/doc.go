// Package compare runs Millrace and its peers side by side on this machine and
// says what each costs.
//
// How it measures:
//   - Every sample has a server of its own, started for it: pinned to one
//     processor, with GOMAXPROCS=1. The load client has another processor.
//   - All contenders take turns in every round, so that what else happens on the
//     machine meets them alike.
//   - A sample in which other processes took more than a threshold of the
//     machine is thrown away, counted, and taken again in a later round.
//   - Processor time is the scheduler's own, with the publishing requests in it.
package compare
