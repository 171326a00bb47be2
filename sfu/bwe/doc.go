// Package bwe estimates how many bits a second the path to one receiver takes, from the
// receiver's transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
// It follows Google Congestion Control (draft-ietf-rmcat-gcc-02, and what Chromium has
// made of it since), changed for a forwarder: what is sent is what others publish, so the
// sender is nearly always limited by its application and not by the path.
//
//	every send      ->  SentLog.Add                  number, time, size, probe: no lock
//	feedback packet ->  Report.Unmarshal             what arrived, and when
//	                ->  Estimator.OnReport
//	                        ledger                   each packet once, lost or arrived
//	                        groups -> trendline      is a queue growing?
//	                        throughput               what came through
//	                        loss                     is more lost than is always lost?
//	                        probes                   what did a burst prove?
//	timer           ->  Estimator.Tick               silence, next probe
//	                ->  Estimator.Target             bits a second
//
// # How to use it
//
//	log := bwe.NewSentLog(bwe.DefaultLogSize)
//	est := bwe.New(bwe.Config{Start: 600e3, Min: 50e3, Max: 20e6}, log)
//
//	seq := log.Add(now, size)                       // any goroutine, for each packet sent
//
//	if err := report.Unmarshal(raw); err == nil {   // for each feedback packet
//		est.OnReport(now, &report)
//	}
//	est.Want(now, best, next)                       // what the allocator could use
//	est.Tick(now)                                   // each 20 to 500 ms
//	for p, bytes, ok := est.Probe(now); ok; ... {   // each few milliseconds, while ok
//		send bytes of padding in packets of p.Size
//	}
//	bucket.SetRate(est.Target())
//
// Time is nanoseconds of a clock of the caller that never goes back. Nothing here reads
// a clock, blocks, or keeps a slice that it was given. Only [SentLog] is safe for
// concurrent use.
package bwe
