// Package demo is an application of the server: a site with a page for each
// thing that a client can do, and the small backend that the pages need.
//
// What it guarantees:
//
//   - It is an application like any other. It publishes and administers with an
//     API key over the API, signs tokens for its visitors, and what a visitor may
//     do stands in a configuration file of the server (millrace.yaml).
//   - What goes wrong on its pages is no play: a connection is cut, silenced or
//     slowed below the server, which knows nothing of it, and a restart is one.
//   - The site is embedded and asks nobody else for anything.
package demo
