// Package imports holds no code, only the tests that keep the layers of Conclave
// apart (docs/architecture.md): who may import whom, and what the end-to-end
// encryption may not touch because time and randomness are its inputs.
//
// The first promise of the project is one of these tests: the forwarder, the rooms
// and the server have no import path to the package that holds keys.
package imports
