// Package framecrypt seals and opens the encoded frames of a meeting: SFrame
// (package sframe, AES_128_GCM_SHA256_128) under the keys of MLS epochs, with the
// first bytes of some codecs left in clear for decoders and forwarders.
//
// A sealed frame, as it travels in the place of the encoded one:
//
//	+-------------------+---------------+-----------------+----------------+
//	| clear bytes (0-10)| SFrame header | encrypted rest  | tag (16 bytes) |
//	+-------------------+---------------+-----------------+----------------+
//
// Authenticated with it: the header, a byte for the codec that is not sent, and the
// clear bytes. A KID is laid out as RFC 9605, Section 5.2 has it:
//
//	 17 16 15                         6 5           0
//	+-----+----------------------------+-------------+
//	| ctx |  leaf index (10 bits)      | epoch mod 64|
//	+-----+----------------------------+-------------+
//
// A [Ring] holds the keys of the live epochs. The outputs of an e2ee.Session drive it:
//
//	case e2ee.EpochStarted:
//		err = ring.Start(o.Epoch, o.Own, leaves(o.Members), o.Removed, o.BaseKey)
//	case e2ee.SendEpoch:
//		err = ring.SendWith(o.Epoch)
//	case e2ee.EpochEnded:
//		ring.End(o.Epoch)
//
// and frames pass it:
//
//	sealed, err := ring.Seal(buf[:0], framecrypt.Camera, framecrypt.VP8, frame)
//	frame, info, err := ring.Open(buf[:0], framecrypt.VP8, sealed)
//
// A frame is never tried under two keys: its KID names one key or none. An empty frame
// (a pause of a codec) is left empty and proves nothing.
package framecrypt
