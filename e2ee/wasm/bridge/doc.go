// Package bridge speaks JSON with the page's worker on behalf of an e2ee.Session and
// a framecrypt.Ring. It decides nothing: each input becomes a Step, each output JSON,
// and the epochs drive the ring.
//
//	b, err := bridge.New(rand.Reader, []byte(`{"link":"https://...","pid":"...","name":"Ann"}`))
//	err = b.Step(now, []byte(`{"type":"log-entry","entry":{...}}`))
//	for out, ok := b.Poll(); ok; out, ok = b.Poll() {
//		post(out)
//	}
//	wakeAt(b.Deadline())
//
// Log entries and posts have the field names of room/signal, byte strings are
// standard base64. The inputs are of the types log-opened, log-entry, posted, tick;
// the outputs of the types post, epoch-started, send-epoch, epoch-ended, status,
// entry-refused.
package bridge
