// Package interop holds Conclave's MLS core against other implementations of RFC 9420, as
// tests and benchmarks. It is a module of its own, so that its peers are dependencies of no
// program:
//
//   - ts-mls 1.6.4 (TypeScript, from npm), in the suites 0x0001, 0x0003 and 0xF00E, behind
//     node/peer.mjs;
//   - github.com/thomas-vilte/mls-go 1.6.0 (Go), in the suites 0x0001 and 0x0003.
//
// `make interop` runs it. The peers are made to follow our profile: an external PSK by
// value and a path in each commit, commits as PrivateMessage, the tree in the Welcome.
package interop
