// Package e2ee is a participant's end-to-end encryption: a state machine over the room's
// log that leads all who hold the meeting link into one MLS group (RFC 9420), and gives
// them the keys of the media frames. It does no I/O, has no clock and no goroutine.
//
// The server that keeps the log is the adversary. It orders entries and looks into none;
// each participant decides alike what is valid, from the log, the group and the link
// alone. The files:
//
//	linksecret.go  the meeting link and the keys under it
//	log.go         the hash chain over the log
//	ledger.go      what the log says to everyone: who is present, who waits, creates
//	identity.go    names, sealed under the link
//	extension.go   bytes of our MLS extensions and of commits' authenticated data
//	verify.go      what makes a commit or a Welcome valid; the safety number
//	turns.go       who commits when
//	committer.go   making groups and commits
//	joiner.go      KeyPackages and Welcomes
//	post.go        what was posted and has not come back
//	epochs.go      when frames change to an epoch and when its keys go
//	session.go     the state machine that holds them together
//
// # The loop
//
// A Session is driven by one goroutine (or worker) that owns it, for example
//
//	s, err := e2ee.New(e2ee.Config{Link: link, PID: pid, Name: name, Rand: rand.Reader})
//	if err != nil {
//		return err
//	}
//	var timer <-chan time.Time
//	for {
//		var in e2ee.Input = e2ee.Tick{}
//		select {
//		case in = <-fromRoom: // LogOpened, LogEntry, Posted
//		case <-timer:
//		}
//		if err := s.Step(time.Now(), in); err != nil {
//			return err
//		}
//		for out, ok := s.Poll(); ok; out, ok = s.Poll() {
//			switch out := out.(type) {
//			case e2ee.SignDevice: // sign with the device key, then Step(DeviceSigned)
//			case e2ee.Post: // send to the room; its answer is Posted with the same Seq
//			case e2ee.EpochStarted:
//				err = ring.Start(out.Epoch, out.Own, leaves(out.Members), out.Removed, out.BaseKey)
//			case e2ee.SendEpoch:
//				err = ring.SendWith(out.Epoch)
//			case e2ee.EpochEnded:
//				ring.End(out.Epoch)
//			case e2ee.Status, e2ee.EntryRefused: // show
//			}
//		}
//		timer = nil
//		if due := s.Deadline(); !due.IsZero() {
//			timer = time.After(time.Until(due))
//		}
//	}
//
// After a lost connection the shell gives LogOpened again and the entries after
// [Session.Head]; with another log id the session begins anew by itself, and all entries
// follow. A session in StateEnded is over: the shell begins another with a fresh PID.
package e2ee
