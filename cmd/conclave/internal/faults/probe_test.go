package faults

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/selfsigned"
	"github.com/conclave-sfu/conclave/room/signal"
)

// role says what a probe offers.
type role struct {
	video      bool
	rids       []string // layers of the video, if any
	audio      bool
	slots      int // for video
	watch      []*probe
	deaf       bool // reads nothing of what is sent to it, neither media nor messages
	tcp        bool // has its media over TCP (RFC 6544)
	connection uint32

	profile dtls.SRTPProtectionProfile // the only one that it offers; 0 for AEAD_AES_128_GCM
	// fingerprint is "algorithm value" of the certificate in SDP, empty for its SHA-256.
	fingerprint string
	// flights of DTLS are sent at most, if that is not 0: then it hangs up.
	flights int
}

// probe is a participant in the room, without encryption between ends. It can send
// anything by the path of its media.
type probe struct {
	t    testing.TB
	site *site
	room string
	pid  signal.PID
	role role
	// ssrc is that of its audio; its video's is 100 higher, that of layer n n*10 more.
	ssrc uint32

	ws      *websocket.Conn
	lost    func() // is called when ws ends: nothing comes of joining
	answers chan *signal.Answer
	errors  chan *signal.Error
	own     offer.Credentials
	server  offer.Answer
	line    *line
	tasks   sync.WaitGroup
	once    sync.Once

	sealer        sealing
	controlSealer *srtp.Context
	sealing       sync.Mutex // guards what seals and opens

	opener, controlOpener *srtp.Context // owned by the reader

	eyes *eyes // what it receives
	// What the server asks of it.
	keyFrames, nacks, feedbacks atomic.Uint64
	// checked counts answers to checks; received the datagrams.
	checked, received atomic.Uint64
	onKeyFrame        atomic.Pointer[func(ssrc uint32)]
}

// line is the media path of one PeerConnection.
type line struct {
	conn          net.Conn // a datagram at a time
	stuns, dtlses chan []byte
	stop          chan struct{}
	dtls          *dtls.Conn // of the goroutine that connects
}

// join takes a probe through signalling, ICE and DTLS; it leaves with the test, or
// before.
func (s *site) join(room string, r role) *probe {
	s.t.Helper()
	p, err := s.tryJoin(room, r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.leave)
	return p
}

func (s *site) tryJoin(room string, r role) (*probe, error) {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return s.tryJoinAs(room, r, signal.NewPID(raw))
}

func (s *site) tryJoinAs(room string, r role, pid signal.PID) (*probe, error) {
	p := &probe{
		t: s.t, site: s, room: room, pid: pid, role: r,
		ssrc:    mathrand.Uint32()&0x7fff0000 | 1000,
		own:     offer.NewCredentials(),
		answers: make(chan *signal.Answer, 4), errors: make(chan *signal.Error, 4),
		eyes: newEyes(),
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.lost = cancel
	err := p.signal(ctx)
	if err == nil {
		err = p.connect(ctx)
	}
	if err != nil {
		p.leave()
		return nil, fmt.Errorf("join %s: %w", room, err)
	}
	return p, nil
}

func (p *probe) sections() (sections []offer.Section, tracks []signal.OfferTrack) {
	add := func(s offer.Section, source signal.Source) {
		if source != "" {
			tracks = append(tracks, signal.OfferTrack{MID: fmt.Sprint(len(sections)), Source: source})
		}
		sections = append(sections, s)
	}
	if p.role.audio {
		add(offer.Section{Audio: true, Sends: true, SSRC: p.ssrc}, signal.SourceMic)
	}
	if p.role.video {
		add(offer.Section{Sends: true, SSRC: p.videoSSRC(0), RIDs: p.role.rids}, signal.SourceCamera)
	}
	for range p.role.slots {
		add(offer.Section{}, "")
	}
	add(offer.Section{Audio: true}, "")
	return sections, tracks
}

func (p *probe) videoSSRC(layer int) uint32 { return p.ssrc + 100 + 10*uint32(layer) }

// videoMID is the mid of the video that it sends.
func (p *probe) videoMID() string {
	if p.role.audio {
		return "1"
	}
	return "0"
}

// signal says hello, offers and views, and takes the answer.
func (p *probe) signal(ctx context.Context) error {
	url := "ws" + strings.TrimPrefix(p.site.http, "http") + "/api/v1/rooms/" + p.room + "/ws"
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{signal.Subprotocol}})
	if err != nil {
		return err
	}
	p.ws = ws
	ws.SetReadLimit(-1)
	p.tasks.Go(p.listen)
	if err := p.say(ctx, 1, &signal.Hello{PID: p.pid}); err != nil {
		return err
	}
	if err := p.offer(ctx); err != nil {
		return err
	}
	return p.look(ctx, p.role.watch...)
}

// offer offers what its role says, as the PeerConnection of a number, and takes the
// answer.
func (p *probe) offer(ctx context.Context) error {
	cert, err := selfsigned.Certificate()
	if err != nil {
		return err
	}
	p.role.connection = max(p.role.connection, 1)
	sections, tracks := p.sections()
	ours := offer.Offer{
		Own: p.own, Fingerprint: selfsigned.Fingerprint(cert), Sections: sections, Layers: true, RTX: true,
	}
	sdp := ours.SDP()
	if f := p.role.fingerprint; f != "" {
		sdp = strings.ReplaceAll(sdp, "sha-256 "+ours.Fingerprint, f)
	}
	err = p.say(ctx, 2, &signal.Offer{Connection: p.role.connection, SDP: sdp, Tracks: tracks})
	if err != nil {
		return err
	}
	answer, err := p.awaitAnswer(ctx)
	if err != nil {
		return err
	}
	p.server, err = offer.ReadAnswer(answer)
	return err
}

// look wants the cameras of others.
func (p *probe) look(ctx context.Context, others ...*probe) error {
	var wants []signal.Want
	for _, o := range others {
		wants = append(wants, signal.Want{PID: o.pid, Source: signal.SourceCamera, Width: 1280, Height: 720})
	}
	return p.say(ctx, 3, &signal.View{Wants: wants})
}

func (p *probe) say(ctx context.Context, id uint32, body signal.ClientBody) error {
	raw, err := signal.EncodeClient(id, body)
	if err != nil {
		return err
	}
	return p.ws.Write(ctx, websocket.MessageText, raw)
}

// listen reads the signalling until it ends, or, if the probe is deaf, until there is an
// answer.
func (p *probe) listen() {
	for {
		_, raw, err := p.ws.Read(context.Background())
		if err != nil {
			p.lost()
			return
		}
		message, err := signal.DecodeServer(raw)
		if err != nil {
			continue // a type that is new
		}
		switch body := message.Body.(type) {
		case *signal.Answer:
			p.answers <- body
			if p.role.deaf {
				return
			}
		case *signal.Error:
			select {
			case p.errors <- body:
			default: // nobody waits for it
			}
		}
	}
}

func (p *probe) awaitAnswer(ctx context.Context) (string, error) {
	select {
	case a := <-p.answers:
		return a.SDP, nil
	case e := <-p.errors:
		return "", fmt.Errorf("refused: %s: %s", e.Code, e.Message)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// connect checks the server's candidate, shakes hands and begins to read.
func (p *probe) connect(ctx context.Context) error {
	conn, err := p.dialMedia()
	if err != nil {
		return err
	}
	l := &line{conn: conn, stuns: make(chan []byte, 64), dtlses: make(chan []byte, 256), stop: make(chan struct{})}
	p.line = l
	p.tasks.Go(func() { p.read(l) })
	if err := p.check(ctx); err != nil {
		return err
	}
	if err := p.shakeHands(ctx); err != nil {
		return err
	}
	password := p.server.Password
	p.tasks.Go(func() { l.keepConsent(func() []byte { return p.checkWith(password) }) })
	return nil
}

func (p *probe) dialMedia() (net.Conn, error) {
	if p.role.tcp {
		if !p.server.Stream.IsValid() {
			return nil, errors.New("the answer has no candidate for TCP")
		}
		stream, err := net.Dial("tcp", p.server.Stream.String())
		if err != nil {
			return nil, err
		}
		return &framed{Conn: stream, in: bufio.NewReader(stream)}, nil
	}
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(p.server.Address))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(1 << 20)
	return conn, nil
}

// framed carries datagrams on a stream (RFC 4571).
type framed struct {
	net.Conn
	in *bufio.Reader
}

func (f *framed) Write(b []byte) (int, error) {
	n, err := f.Conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return max(0, n-2), err
}

func (f *framed) Read(b []byte) (int, error) {
	var length [2]byte
	if _, err := io.ReadFull(f.in, length[:]); err != nil {
		return 0, net.ErrClosed
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > len(b) {
		return 0, net.ErrClosed
	}
	if _, err := io.ReadFull(f.in, b[:n]); err != nil {
		return 0, net.ErrClosed
	}
	return n, nil
}

// checkAgain is after which time a check that is not answered is repeated.
const checkAgain = 100 * time.Millisecond

// check sends binding requests until one is answered (RFC 8445, Section 7.2).
func (p *probe) check(ctx context.Context) error {
	ticker := time.NewTicker(checkAgain)
	defer ticker.Stop()
	for {
		if _, err := p.line.conn.Write(p.checkWith(p.server.Password)); err != nil {
			return err
		}
		select {
		case <-p.line.stuns:
			return nil
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("ICE: %w", ctx.Err())
		}
	}
}

// awaitCheck checks until that is answered: then the server's socket holds nothing of what was sent
// before. Who sends more than it holds, which may be 200 kB, has others' packets lost.
func (p *probe) awaitCheck() {
	p.t.Helper()
	before, asked := p.checked.Load(), time.Time{}
	until(p.t, "a check is answered", func() bool {
		if time.Since(asked) > checkAgain {
			_, _ = p.line.conn.Write(p.checkWith(p.server.Password))
			asked = time.Now()
		}
		return p.checked.Load() > before
	})
}

// checkWith makes a binding request that nominates, under a password.
func (p *probe) checkWith(password string) []byte {
	request, err := stun.Build(
		stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(p.server.Ufrag+":"+p.own.Ufrag),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x6e, 0, 0x1e, 0xff}},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(password), stun.Fingerprint,
	)
	if err != nil {
		panic(err) // nothing in it is from outside
	}
	return request.Raw
}

// keepConsent checks as a browser does.
func (l *line) keepConsent(check func() []byte) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_, _ = l.conn.Write(check()) // each has a transaction of its own
		case <-l.stop:
			return
		}
	}
}

// shakeHands makes the contexts of SRTP (RFC 5764, Section 4.2).
func (p *probe) shakeHands(ctx context.Context) error {
	cert, err := selfsigned.Certificate()
	if err != nil {
		return err
	}
	profile := cmp.Or(p.role.profile, dtls.SRTP_AEAD_AES_128_GCM)
	p.line.dtls, err = dtls.ClientWithOptions(&handshake{line: p.line, left: p.role.flights, expired: make(chan struct{})}, p.line.conn.RemoteAddr(),
		dtls.WithCertificates(cert), dtls.WithInsecureSkipVerify(true), dtls.WithSRTPProtectionProfiles(profile))
	if err != nil {
		return fmt.Errorf("DTLS: %w", err)
	}
	if err := p.line.dtls.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("DTLS: %w", err)
	}
	state, ok := p.line.dtls.ConnectionState()
	if !ok {
		return errors.New("DTLS: no state after the handshake")
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)} // the numbers of both are IANA's
	if err := cfg.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return fmt.Errorf("DTLS: %w", err)
	}
	return p.setKeys(cfg.Profile, cfg.Keys)
}

func (p *probe) setKeys(profile srtp.ProtectionProfile, k srtp.SessionKeys) (err error) {
	context := func(key, salt []byte) *srtp.Context {
		c, e := srtp.CreateContext(key, salt, profile, srtp.SRTPNoReplayProtection())
		err = errors.Join(err, e)
		return c
	}
	p.sealing.Lock()
	defer p.sealing.Unlock()
	p.opener = context(k.RemoteMasterKey, k.RemoteMasterSalt)
	p.controlOpener = context(k.RemoteMasterKey, k.RemoteMasterSalt)
	p.controlSealer = context(k.LocalMasterKey, k.LocalMasterSalt)
	if profile != srtp.ProtectionProfileAeadAes128Gcm {
		p.sealer = &librarySealer{context: context(k.LocalMasterKey, k.LocalMasterSalt)}
		return err
	}
	sealer, e := newSealer(k.LocalMasterKey, k.LocalMasterSalt)
	p.sealer = sealer
	return errors.Join(err, e)
}

// openers gives the contexts of the reader, nil before the handshake.
func (p *probe) openers() (media, control *srtp.Context) {
	p.sealing.Lock()
	defer p.sealing.Unlock()
	return p.opener, p.controlOpener
}

// read demultiplexes what comes (RFC 7983), until the socket is closed.
func (p *probe) read(l *line) {
	buffer := make([]byte, 2000)
	for {
		n, err := l.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 2 {
			continue // nobody listens there, for now
		}
		p.received.Add(1)
		switch packet := buffer[:n]; {
		case packet[0] < 4:
			p.checked.Add(1)
			hand(l.stuns, packet)
		case packet[0] >= 20 && packet[0] < 64:
			hand(l.dtlses, packet)
		case packet[0] >= 128 && packet[0] < 192:
			p.readMedia(packet)
		}
		if media, _ := p.openers(); p.role.deaf && media != nil {
			return // and reads no more
		}
	}
}

// hand gives a copy of a packet to whoever waits; a full queue loses it.
func hand(queue chan []byte, packet []byte) {
	select {
	case queue <- append([]byte(nil), packet...):
	default:
	}
}

func (p *probe) readMedia(packet []byte) {
	media, control := p.openers()
	if media == nil {
		return
	}
	if kind := packet[1]; kind >= 192 && kind < 224 { // RFC 5761, Section 4
		if plain, err := control.DecryptRTCP(nil, packet, nil); err == nil {
			p.readControl(plain)
		}
		return
	}
	if plain, err := media.DecryptRTP(nil, packet, nil); err == nil {
		p.eyes.see(plain)
	} else {
		p.eyes.refused.Add(1)
	}
}

func (p *probe) readControl(plain []byte) {
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		p.eyes.refused.Add(1)
		return
	}
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.PictureLossIndication:
			p.keyFrames.Add(1)
			if f := p.onKeyFrame.Load(); f != nil {
				(*f)(packet.MediaSSRC)
			}
		case *rtcp.TransportLayerNack:
			p.nacks.Add(1)
		case *rtcp.TransportLayerCC:
			p.feedbacks.Add(1)
		}
	}
}

// sendRTP seals and sends an RTP packet whose first header bytes stay in clear.
func (p *probe) sendRTP(packet []byte, header int) {
	if _, err := p.line.conn.Write(p.sealer.seal(packet, header)); err != nil {
		p.eyes.unsent.Add(1)
	}
}

// sendRTCP seals and sends bytes as RTCP; they begin as RTCP does, or are no use.
func (p *probe) sendRTCP(plain []byte) {
	p.sealing.Lock()
	sealed, err := p.controlSealer.EncryptRTCP(nil, plain, nil)
	p.sealing.Unlock()
	if err == nil {
		_, _ = p.line.conn.Write(sealed)
	}
}

// control sends RTCP packets.
func (p *probe) control(packets ...rtcp.Packet) {
	p.t.Helper()
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		p.t.Fatal(err)
	}
	p.sendRTCP(raw)
}

// leave ends all of it.
func (p *probe) leave() {
	p.once.Do(func() {
		if p.ws != nil {
			_ = p.ws.CloseNow()
		}
		p.hangUp()
	})
	p.tasks.Wait()
}

// hangUp ends the media path.
func (p *probe) hangUp() {
	if p.line == nil {
		return
	}
	close(p.line.stop)
	if p.line.dtls != nil {
		_ = p.line.dtls.Close()
	}
	_ = p.line.conn.Close()
}

// redial replaces the PeerConnection by another one.
func (p *probe) redial() {
	p.t.Helper()
	p.hangUp()
	p.role.connection++
	p.own = offer.NewCredentials()
	p.sealing.Lock()
	p.opener, p.controlOpener = nil, nil
	p.sealing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := p.offer(ctx)
	if err == nil {
		err = p.connect(ctx)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// handshake shows the DTLS packets of a line as a connection.
type handshake struct {
	*line
	left int // datagrams that may be sent, and one more; 0 for any number

	mu      sync.Mutex
	expired chan struct{} // Guarded by mu. Closed while nobody may wait for a packet.
}

// errHungUp: the probe has sent as much of a handshake as it was to.
var errHungUp = errors.New("hung up")

func (h *handshake) ReadFrom(b []byte) (int, net.Addr, error) {
	h.mu.Lock()
	expired := h.expired
	h.mu.Unlock()
	select {
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	case packet := <-h.dtlses:
		return copy(b, packet), h.conn.RemoteAddr(), nil
	case <-h.stop:
		return 0, nil, io.EOF
	}
}

func (h *handshake) WriteTo(b []byte, _ net.Addr) (int, error) {
	switch h.left {
	case 0:
		return h.conn.Write(b)
	case 1:
		return 0, errHungUp
	}
	h.left--
	return h.conn.Write(b)
}

func (h *handshake) LocalAddr() net.Addr              { return h.conn.LocalAddr() }
func (h *handshake) SetDeadline(time.Time) error      { return nil }
func (h *handshake) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline ends waiting where the deadline has passed: so a handshake that has failed
// ends its reader, and waits for it. Other deadlines are not asked for.
func (h *handshake) SetReadDeadline(at time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.expired:
		h.expired = make(chan struct{})
	default:
	}
	if !at.IsZero() && at.Before(time.Now()) {
		close(h.expired)
	}
	return nil
}

// Close ends nothing: the socket stays.
func (h *handshake) Close() error { return nil }

// stranger opens a socket to the media port.
func (s *site) stranger() *net.UDPConn {
	s.t.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.mediaPort.Port())))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}
