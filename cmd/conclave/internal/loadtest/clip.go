package loadtest

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"

	"github.com/conclave-sfu/conclave/room/client"
)

//go:generate clip/make.sh

var (
	//go:embed clip/clip.ivf
	clipIVF []byte
	//go:embed clip/clip.ogg
	clipOgg []byte
)

// opusTicks is the duration of each of the clip's Opus frames, 20 ms at 48 kHz.
const opusTicks = 960

// digest is SHA-256 of a frame.
type digest [sha256.Size]byte

// recording is one track of the clip. Immutable.
type recording struct {
	frames []recorded
	ticks  uint32 // duration of each frame on the codec's RTP clock
	known  map[digest]bool
	layer  int // of the simulcast, from the lowest
	again  int // the frame that follows the last
}

// recorded is a frame of a recording.
type recorded struct {
	data   []byte
	key    bool
	digest digest
}

func (r *recording) video() bool { return r.ticks != opusTicks }

func (r *recording) add(data []byte, key bool) {
	f := recorded{data: data, key: key, digest: sha256.Sum256(data)}
	r.frames = append(r.frames, f)
	r.known[f.digest] = true
}

// clip is what publishers send, over and over: the recorded clip, or its sound with
// synthetic video in layers.
type clip struct {
	video []*recording // a layer each, lowest first
	audio *recording
}

// clipWith gives the recorded clip, or with synthetic video of the rates if there are
// any.
func clipWith(rates []Bits) (clip, error) {
	c, err := loadClip()
	if err != nil || len(rates) == 0 {
		return c, err
	}
	c.video = nil
	for i, rate := range rates {
		c.video = append(c.video, synthetic(i, rate))
	}
	return c, nil
}

// loadClip reads the embedded clip.
var loadClip = sync.OnceValues(func() (clip, error) {
	video, err := readIVF(clipIVF)
	if err != nil {
		return clip{}, fmt.Errorf("read the clip's video: %w", err)
	}
	audio, err := readOgg(clipOgg)
	if err != nil {
		return clip{}, fmt.Errorf("read the clip's audio: %w", err)
	}
	return clip{[]*recording{video}, audio}, nil
})

func readIVF(file []byte) (*recording, error) {
	in, header, err := ivfreader.NewWith(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	r := &recording{known: make(map[digest]bool), ticks: 90000 * header.TimebaseNumerator / header.TimebaseDenominator}
	for {
		frame, _, err := in.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		r.add(frame, len(frame) > 0 && frame[0]&1 == 0) // inverse key frame flag (RFC 6386, Section 9.1)
	}
	if len(r.frames) == 0 || !r.frames[0].key || r.ticks == 0 {
		return nil, errors.New("it does not begin with a key frame")
	}
	return r, nil
}

// readOgg reads Ogg Opus with a packet a page, as make.sh has it.
func readOgg(file []byte) (*recording, error) {
	in, _, err := oggreader.NewWith(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	r := &recording{known: make(map[digest]bool), ticks: opusTicks}
	for {
		page, _, err := in.ParseNextPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(page, []byte("OpusTags")) {
			r.add(page, true)
		}
	}
	if len(r.frames) == 0 {
		return nil, errors.New("it has no packets")
	}
	return r, nil
}

// player plays a recording over and over. It belongs to the goroutine of its track.
type player struct {
	recording *recording
	track     *track
	ledger    *ledger
	next      int
	current   int
}

// speech is how loud the clip says that it is, in dB above what cannot be heard.
const speech = 97

// sample gives the next frame, or the next key frame.
func (p *player) sample(keyFrame bool) client.Sample {
	for keyFrame && !p.recording.frames[p.next].key {
		p.next = (p.next + 1) % len(p.recording.frames)
	}
	p.current = p.next
	if p.next++; p.next == len(p.recording.frames) {
		p.next = p.recording.again
	}
	return client.Sample{Data: p.recording.frames[p.current].data, Ticks: p.recording.ticks, Loudness: speech}
}

// sent enters the current frame into the ledger.
func (p *player) sent(by client.Sealed) {
	p.ledger.enter(by, p.track, sealing{recording: p.recording, frame: p.current, at: time.Now()})
}
