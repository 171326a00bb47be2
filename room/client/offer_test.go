package client

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// TestOfferTooSoon holds the client to keep its PeerConnection when the room wants fewer
// offers, and to send the same offer again once it may.
func TestOfferTooSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loop{media: &media{number: 1, pending: &signal.Offer{Connection: 1}}, offerID: 7, mediaTimer: time.NewTimer(time.Hour)}
		began := time.Now()
		l.refused(7, &signal.Error{Code: signal.CodeRateLimited})
		if l.media == nil || l.media.pending == nil || l.offerID != 0 {
			t.Fatalf("after rate_limited: media %v, waiting for answer %d", l.media, l.offerID)
		}
		if due := (<-l.mediaTimer.C).Sub(began); due != offerPause {
			t.Errorf("offers again after %v, want %v", due, offerPause)
		}
	})
}
