//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/selfsigned"
	"github.com/conclave-sfu/conclave/room/signal"
)

// participant is a client that joined a room.
type participant struct {
	*client
	ws      *websocket.Conn
	dtls    *dtls.Conn
	packets *packetConn
	server  offer.Answer
	own     offer.Credentials
	reading sync.WaitGroup
}

// role says what a participant offers and wants.
type role struct {
	pid      signal.PID
	sections []offer.Section
	tracks   []signal.OfferTrack
	wants    []signal.Want
	// hear is given each message of the server, watch each packet of media that can be opened; nil
	// for nobody. They are called by one goroutine each.
	hear  func(raw []byte)
	watch func(s stamp, arrived int64)
}

// join takes a participant through the room's signalling, ICE and DTLS.
func join(ctx context.Context, r *reader, url string, as role) (*participant, error) {
	p := &participant{own: offer.NewCredentials()}
	started := time.Now()
	answer, err := p.signal(ctx, url, as)
	if err == nil {
		err = p.connect(ctx, r, answer, started, as)
	}
	if err != nil {
		p.leave()
		return nil, fmt.Errorf("join as %s: %w", as.pid, err)
	}
	return p, nil
}

// signal says hello, offers and views, and gives the answer's SDP.
func (p *participant) signal(ctx context.Context, url string, as role) (string, error) {
	cert, err := selfsigned.Certificate()
	if err != nil {
		return "", err
	}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{signal.Subprotocol}})
	if err != nil {
		return "", err
	}
	p.ws = ws
	ws.SetReadLimit(-1)
	ours := offer.Offer{Own: p.own, Fingerprint: selfsigned.Fingerprint(cert), Sections: as.sections}
	bodies := []signal.ClientBody{
		&signal.Hello{PID: as.pid, Lists: true}, &signal.View{Wants: as.wants},
		&signal.Offer{Connection: 1, SDP: ours.SDP(), Tracks: as.tracks},
	}
	for i, body := range bodies {
		raw, err := signal.EncodeClient(uint32(i+1), body)
		if err == nil {
			err = ws.Write(ctx, websocket.MessageText, raw)
		}
		if err != nil {
			return "", err
		}
	}
	return awaitAnswer(ctx, ws, as.hear)
}

// otherParticipant begins messages that are not waited for.
var otherParticipant = []byte(`{"type":"participant`)

func awaitAnswer(ctx context.Context, ws *websocket.Conn, hear func([]byte)) (string, error) {
	for {
		_, raw, err := ws.Read(ctx)
		if err != nil {
			return "", err
		}
		if hear != nil {
			hear(raw)
		}
		if bytes.HasPrefix(raw, otherParticipant) {
			continue // of large rooms there are many
		}
		message, err := signal.DecodeServer(raw)
		if err != nil {
			continue // a type that is new
		}
		switch body := message.Body.(type) {
		case *signal.Answer:
			return body.SDP, nil
		case *signal.Error:
			return "", fmt.Errorf("refused: %s: %s", body.Code, body.Message)
		}
	}
}

// connect checks the server's candidate and shakes hands.
func (p *participant) connect(ctx context.Context, r *reader, answer string, started time.Time, as role) error {
	var err error
	if p.server, err = offer.ReadAnswer(answer); err != nil {
		return err
	}
	if p.client, err = newClient(r, p.server.Address, started); err != nil {
		return err
	}
	p.watchBy(as.watch)
	if err := p.check(ctx); err != nil {
		return err
	}
	k, err := p.shakeHands(ctx)
	if err != nil {
		return err
	}
	p.reading.Go(func() { p.drain(as.hear) })
	return p.setKeys(k)
}

// answerTime is how long an answer to a check may take.
const answerTime = 100 * time.Millisecond

// check sends binding requests until one is answered (RFC 8445, Section 7.2).
func (p *participant) check(ctx context.Context) error {
	ticker := time.NewTicker(answerTime)
	defer ticker.Stop()
	for {
		if err := p.bind(); err != nil {
			return err
		}
		select {
		case <-p.stun:
			return nil
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("ICE: %w", ctx.Err())
		}
	}
}

// bind sends one binding request, which nominates and keeps the server's consent.
func (p *participant) bind() error {
	request, err := stun.Build(
		stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(p.server.Ufrag+":"+p.own.Ufrag),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x6e, 0, 0x1e, 0xff}},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(p.server.Password), stun.Fingerprint,
	)
	if err == nil {
		err = p.write(request.Raw)
	}
	return err
}

// shakeHands gives the keys of SRTP (RFC 5764, Section 4.2).
func (p *participant) shakeHands(ctx context.Context) (keys, error) {
	cert, err := selfsigned.Certificate()
	if err != nil {
		return keys{}, err
	}
	p.packets = &packetConn{client: p.client, closed: make(chan struct{})}
	p.dtls, err = dtls.ClientWithOptions(p.packets, p.packets.RemoteAddr(),
		dtls.WithCertificates(cert), dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		return keys{}, fmt.Errorf("DTLS: %w", err)
	}
	if err := p.dtls.HandshakeContext(ctx); err != nil {
		return keys{}, fmt.Errorf("DTLS: %w", err)
	}
	state, ok := p.dtls.ConnectionState()
	if !ok {
		return keys{}, errors.New("DTLS: no state after the handshake")
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfileAeadAes128Gcm}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return keys{}, fmt.Errorf("DTLS: %w", err)
	}
	return keys{cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt}, nil
}

// drain reads the signalling until it ends.
func (p *participant) drain(hear func([]byte)) {
	for {
		_, raw, err := p.ws.Read(context.Background())
		if err != nil {
			return
		}
		if hear != nil {
			hear(raw)
		}
	}
}

// view says what the participant wants to see, as a whole.
func (p *participant) view(ctx context.Context, wants []signal.Want) error {
	raw, err := signal.EncodeClient(0, &signal.View{Wants: wants})
	if err != nil {
		return err
	}
	return p.ws.Write(ctx, websocket.MessageText, raw)
}

func (p *participant) leave() {
	if p.ws != nil {
		_ = p.ws.CloseNow()
		p.reading.Wait()
	}
	if p.packets != nil {
		_ = p.packets.Close()
	}
	if p.dtls != nil {
		_ = p.dtls.Close()
	}
	if p.client != nil {
		p.close()
	}
}

// pidOf is a participant id made of a number.
func pidOf(n int) signal.PID {
	var raw [16]byte
	raw[0], raw[14], raw[15] = 0xbe, byte(n>>8), byte(n)
	return signal.NewPID(raw)
}

// numberOf is the number that a pid was made of.
func numberOf(pid signal.PID) int {
	raw, err := pid.Bytes()
	if err != nil {
		return -1
	}
	return int(raw[14])<<8 | int(raw[15])
}
