// Package bridge speaks with the page's worker on behalf of an e2ee.Session and a
// framecrypt.Ring. It decides nothing: each input becomes a Step, each output a message,
// and the epochs drive the ring.
//
//	b, err := bridge.New(rand.Reader, config)
//	err = b.Step(now, input)
//	for out, ok, err := b.Poll(); ok; out, ok, err = b.Poll() {
//		post(out)
//	}
//	wakeAt(b.Deadline())
//
// # Messages
//
// Configuration, inputs and outputs are bytes: webclient/src/e2ee/wire.ts writes and reads
// the same. Why not JSON: ADR 0013. Numbers are big endian; bytes and text (UTF-8) have
// their length in bytes in front, as uint32, and a list the number of its elements. A pid is
// text: 22 characters of base64url. Digests, MACs and ids are bytes and of one length only.
//
//	config        link text | pid text | name text
//
//	log-opened    1 | log id bytes | head uint64
//	log-entry     2 | position uint64 | time int64 | pid text | kind uint8 | body
//	  joined          1 | KeyPackage bytes | MAC bytes
//	  left            2
//	  create          3 | last uint64 | generation uint32 | group id bytes | MAC bytes
//	  commit          4 | last uint64 | generation uint32 | adds list of bytes | commit bytes |
//	                      commit's digest bytes | Welcome bytes | its digest bytes | MAC bytes
//	posted        3 | seq uint32 | code text
//	tick          4
//
//	post          1 | seq uint32 | kind uint8 | body
//	  join            1 | KeyPackage bytes | MAC bytes
//	  create          2 | last uint64 | generation uint32 | group id bytes | MAC bytes
//	  commit          3 | last uint64 | generation uint32 | adds list of bytes | commit bytes |
//	                      Welcome bytes | MAC bytes
//	epoch-started 2 | epoch | own uint32 | members list | removed list of uint32 | safety number text
//	  member          leaf uint32 | pid text | name text | device bytes
//	send-epoch    3 | epoch
//	epoch-ended   4 | epoch
//	status        5 | state text | code text
//	entry-refused 6 | position uint64 | pid text | code text
//	  epoch           generation uint32 | number uint64
//
// What may be absent (the commit and the Welcome of an entry, the digest of a Welcome, a
// code) is empty then.
package bridge
