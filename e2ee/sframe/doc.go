// Package sframe seals and opens media frames by SFrame (RFC 9605) under the AEAD
// cipher suites with AES-GCM.
//
// An SFrame ciphertext, as it travels:
//
//	+-+-+-+-+-+-+-+-+-------------------+-------------------+
//	|X|  K  |Y|  C  | KID (0, 1-8 bytes)| CTR (0, 1-8 bytes)|   header, in clear
//	+-+-+-+-+-+-+-+-+-------------------+-------------------+
//	|  encrypted frame (as long as the plaintext)           |
//	+-------------------------------------------------------+
//	|  authentication tag (16 bytes)                        |
//	+-------------------------------------------------------+
//
// The header and the metadata, which both sides know and nobody sends, are
// authenticated. The package keeps no state beyond a key: counters that never
// repeat and refusal of replays are the caller's (package framecrypt).
package sframe
