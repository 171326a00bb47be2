package sfu

import "context"

// Transport is one participant's media: at most one PeerConnection at a time.
// Its methods may be called from any goroutine; only Answer may block.
type Transport struct{}

// Answer answers an offer.
func (*Transport) Answer(ctx context.Context, o Offer) (sdp string, err error) {
	return "", errSkeleton
}

// View replaces what the participant wants to see.
func (*Transport) View(wants []Want) {}

// Mute says that a source sends nothing for now, or sends again.
func (*Transport) Mute(source Source, muted bool) {}

// Close ends the transport. No event follows its return.
func (*Transport) Close() {}
