package bridge

import (
	"crypto/ed25519"
	"io"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// Bridge is a session, its ring and its device key. It is for one goroutine.
//
// After an error of Step or Poll it has stopped: its keys are erased and every
// further call fails. Nothing goes on in a state that nobody has thought of.
type Bridge struct {
	session *e2ee.Session
	ring    *framecrypt.Ring
	// device signs the leaf's identity. It lives as long as the page.
	device  ed25519.PrivateKey
	now     time.Time // of the last Step
	stopped bool
}

// New makes a session of a configuration. All randomness comes from rand.
func New(rand io.Reader, configuration []byte) (*Bridge, error) {
	c, err := parseConfig(configuration)
	if err != nil {
		return nil, fail.At("read the configuration", err)
	}
	link, err := e2ee.ParseLink(c.link)
	if err != nil {
		return nil, err
	}
	pid, err := parsePID(c.pid)
	if err != nil {
		return nil, err
	}
	device, err := newDevice(rand)
	if err != nil {
		return nil, err
	}
	session, err := e2ee.New(e2ee.Config{Link: link, PID: pid, Name: c.name, Rand: rand})
	if err != nil {
		return nil, err
	}
	return &Bridge{session: session, ring: framecrypt.NewRing(), device: device}, nil
}

// newDevice makes an Ed25519 key of this page alone.
func newDevice(rand io.Reader) (ed25519.PrivateKey, error) {
	var seed [ed25519.SeedSize]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fail.At("make a device key", err)
	}
	return ed25519.NewKeyFromSeed(seed[:]), nil
}

// Step takes one input, at a time in milliseconds since the Unix epoch. It keeps parts of
// input, which the caller must not write to any more.
func (b *Bridge) Step(now int64, input []byte) error {
	if b.stopped {
		return ErrStopped
	}
	in, err := parseInput(input)
	if err == nil {
		err = b.step(time.UnixMilli(now), in)
	}
	if err != nil {
		b.Stop()
	}
	return err
}

func (b *Bridge) step(now time.Time, in e2ee.Input) error {
	b.now = now
	return b.session.Step(now, in)
}

// Poll gives the next output, until ok is false. More appears only after Step.
func (b *Bridge) Poll() (output []byte, ok bool, err error) {
	if b.stopped {
		return nil, false, ErrStopped
	}
	output, ok, err = b.poll()
	if err != nil {
		b.Stop()
	}
	return output, ok, err
}

func (b *Bridge) poll() ([]byte, bool, error) {
	for {
		out, ok := b.session.Poll()
		if !ok {
			return nil, false, nil
		}
		if sign, ok := out.(e2ee.SignDevice); ok {
			if err := b.step(b.now, b.sign(sign.Message)); err != nil {
				return nil, false, err
			}
			continue
		}
		if err := b.turn(out); err != nil {
			return nil, false, err
		}
		output, err := formatOutput(out)
		return output, err == nil, err
	}
}

func (b *Bridge) sign(message []byte) e2ee.DeviceSigned {
	var signed e2ee.DeviceSigned
	copy(signed.Public[:], b.device.Public().(ed25519.PublicKey))
	copy(signed.Signature[:], ed25519.Sign(b.device, message))
	return signed
}

// turn brings the ring to where the session is.
func (b *Bridge) turn(out e2ee.Output) error {
	switch o := out.(type) {
	case e2ee.EpochStarted:
		defer o.BaseKey.Erase()
		leaves := make([]framecrypt.Leaf, 0, len(o.Members))
		for _, m := range o.Members {
			leaves = append(leaves, m.Leaf)
		}
		return b.ring.Start(o.Epoch, o.Own, leaves, o.Removed, o.BaseKey)
	case e2ee.SendEpoch:
		return b.ring.SendWith(o.Epoch)
	case e2ee.EpochEnded:
		b.ring.End(o.Epoch)
	}
	return nil
}

// Deadline is when a tick is due, in milliseconds since the Unix epoch, rounded up;
// 0 if none is.
func (b *Bridge) Deadline() int64 {
	if b.stopped {
		return 0
	}
	due := b.session.Deadline()
	if due.IsZero() {
		return 0
	}
	return due.Add(time.Millisecond - 1).UnixMilli()
}

// KeyFor derives the key and the salt of a KID, and says which epoch they are of. The
// caller erases both.
func (b *Bridge) KeyFor(kid uint64) (key, salt []byte, id framecrypt.Epoch, err error) {
	if b.stopped {
		return nil, nil, framecrypt.Epoch{}, ErrStopped
	}
	return b.ring.KeyFor(sframe.KID(kid))
}

// Stop erases the keys. Every further call fails with [ErrStopped].
func (b *Bridge) Stop() {
	b.stopped = true
	b.ring.Erase()
	clear(b.device)
}
