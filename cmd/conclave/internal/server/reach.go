package server

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/icetcp"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/port"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/reflexive"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/turn"
	"github.com/conclave-sfu/conclave/room/signal"
	"github.com/conclave-sfu/conclave/sfu"
)

// Reach says how participants reach the media port, beside by UDP at the machine's own
// addresses.
type Reach struct {
	// Host is the name by which clients reach this server for TURN; empty: TURN is not
	// announced.
	Host string
	// TURN relays for those whom UDP does not reach: on the media port, over TLS on the
	// port of HTTPS, and over TCP on MediaTCPPort.
	TURN bool
	// TURNPort is a further UDP port for TURN; 0: none.
	TURNPort uint16
	// MediaTCPPort takes media over TCP, beside the port of HTTPS, which does too; 0: none.
	MediaTCPPort uint16
	// NoMediaTCP keeps media off the port of HTTPS.
	NoMediaTCP bool
	// STUNServer is asked for the public address of the media port, as host:port; empty:
	// none.
	STUNServer string
}

const (
	// refreshInterval is for how long a change of the machine's addresses goes unnoticed.
	refreshInterval = 30 * time.Second
	// maxWaiting is how many packets wait that came to the media port and are no media.
	maxWaiting = 512
	// maxForeign is the largest of them, in bytes: relayed media with TURN's header.
	maxForeign = 1600
)

// reach is all by which participants reach media but the UDP port itself. It is made in
// two steps: the node needs it, and it needs the node.
type reach struct {
	// Immutable once start has returned.
	cfg         Reach
	log         *zap.Logger
	node        *sfu.Node
	credentials *turn.Credentials
	turn        *turn.Server      // nil: none
	mediaTURN   *turn.Socket      // TURN on the media port
	ice         *icetcp.Server    // of streams
	finder      *reflexive.Finder // nil: none
	udp         *net.UDPConn      // of TURN alone; nil: none
	tcp         *port.Listener    // of media over TCP; nil: none
	publicPort  uint16            // of HTTPS, for TURN over TLS and for media; 0: neither
	limiter     *port.Limiter

	inbound foreignQueue // of the media port
	running sync.WaitGroup
	ended   context.Context
	end     context.CancelFunc

	// peers are the candidates with UDP, for TURN.
	peers atomic.Pointer[[]netip.AddrPort]

	mu     sync.Mutex
	public []netip.AddrPort // as a STUN server sees the media port
}

func newReach(cfg Reach, limiter *port.Limiter, log *zap.Logger) *reach {
	r := &reach{cfg: cfg, log: log, limiter: limiter, credentials: turn.NewCredentials(), inbound: make(foreignQueue, maxWaiting)}
	r.ended, r.end = context.WithCancel(context.Background())
	r.peers.Store(&[]netip.AddrPort{})
	r.ice = icetcp.New(streamMedia{r}, icetcp.DefaultLimits)
	r.mediaTURN = turn.NewSocket(mediaPort{r})
	if cfg.TURN {
		r.turn = turn.New(turn.Config{
			Credentials: r.credentials, Media: relayMedia{r}, Limits: turn.DefaultLimits,
			Peers: func() []netip.AddrPort { return *r.peers.Load() },
		})
	}
	return r
}

// open opens the sockets of its own.
func (r *reach) open() error {
	if r.turn != nil && r.cfg.TURNPort != 0 {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(r.cfg.TURNPort)})
		if err != nil {
			return listenError("--turn-port", ":"+strconv.Itoa(int(r.cfg.TURNPort)), "udp", err)
		}
		r.udp = socket
	}
	if r.cfg.MediaTCPPort == 0 {
		return nil
	}
	addr := ":" + strconv.Itoa(int(r.cfg.MediaTCPPort))
	inner, err := net.Listen("tcp", addr)
	if err != nil {
		return listenError("--media-tcp-port", addr, "tcp", err)
	}
	r.tcp = port.Share(inner, port.Config{TURN: r.turnStream(), ICE: r.ice.Serve, Limiter: r.limiter, Logger: r.log})
	return nil
}

// turnStream serves TURN on a stream; nil if there is none.
func (r *reach) turnStream() func(net.Conn) {
	if r.turn == nil {
		return nil
	}
	return r.turn.ServeStream
}

// share makes the port of pages also that of TURN and of media. publicPort is under which
// number the port is reached if it speaks TLS, else 0.
func (r *reach) share(cfg *port.Config, publicPort uint16) {
	if cfg.TLS == nil {
		return
	}
	r.publicPort = publicPort
	cfg.TURN = r.turnStream()
	if !r.cfg.NoMediaTCP {
		cfg.ICE = r.ice.Serve
	}
}

// start begins to serve a node's media.
func (r *reach) start(node *sfu.Node) error {
	r.node = node
	if r.cfg.STUNServer != "" {
		finder, err := reflexive.New(reflexive.Config{
			Server: r.cfg.STUNServer, Send: r.ask, Changed: r.found, Logger: r.log,
		})
		if err != nil {
			return err
		}
		r.finder = finder
		r.running.Go(func() { finder.Run(r.ended) })
	}
	r.refresh()
	r.warnIfUnreachable()
	r.warnIfNameless()
	if err := r.serveForeign(); err != nil {
		return err
	}
	r.running.Go(r.tick)
	if r.tcp != nil {
		r.running.Go(func() { _, _ = r.tcp.Accept() }) // until close: nothing there is HTTP
	}
	return nil
}

// ask sends a question of the finder's.
func (r *reach) ask(packet []byte, to netip.AddrPort) error {
	return r.node.WriteForeign(packet, to, netip.Addr{})
}

// close ends all ways but the UDP port's own, and waits for what runs.
func (r *reach) close() {
	r.end()
	if r.tcp != nil {
		r.tcp.Shut()
	}
	if r.turn != nil {
		r.turn.Close()
	}
	if r.udp != nil {
		r.udp.Close() // if it was never served
	}
	r.running.Wait()
}

// tick does what is to be done now and then.
func (r *reach) tick() {
	refresh := time.NewTicker(refreshInterval)
	defer refresh.Stop()
	for {
		select {
		case <-refresh.C:
			r.refresh()
		case <-r.ended.Done():
			return
		}
	}
}

// found takes the public addresses that a STUN server has told.
func (r *reach) found(public []netip.AddrPort) {
	r.mu.Lock()
	r.public = public
	r.mu.Unlock()
	r.refresh()
}

// refresh names as candidates what the machine and the STUN server say now.
func (r *reach) refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	candidates := candidatesOf(r.node.LocalCandidates(), r.public, r.node.Addr().Port(), r.tcpPorts())
	var peers []netip.AddrPort
	for _, c := range candidates {
		if !c.TCP {
			peers = append(peers, c.Addr)
		}
	}
	r.peers.Store(&peers)
	r.node.SetCandidates(candidates)
}

// tcpPorts are those at which media is taken over TCP.
func (r *reach) tcpPorts() []uint16 {
	var ports []uint16
	if r.publicPort != 0 && !r.cfg.NoMediaTCP {
		ports = append(ports, r.publicPort)
	}
	if r.tcp != nil {
		ports = append(ports, uint16(r.tcp.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

// candidatesOf are the local candidates, those that a STUN server sees, and all their
// addresses over TCP. A NAT may show the media port under another number to the STUN
// server, though it was told to lead the same number in: both are named.
func candidatesOf(local []sfu.Candidate, public []netip.AddrPort, media uint16, tcp []uint16) []sfu.Candidate {
	var list []sfu.Candidate
	add := func(c sfu.Candidate) {
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	for _, c := range local {
		add(c)
	}
	for _, p := range public {
		add(sfu.Candidate{Addr: p})
		add(sfu.Candidate{Addr: netip.AddrPortFrom(p.Addr(), media)})
	}
	for _, c := range slices.Clone(list) {
		for _, p := range tcp {
			add(sfu.Candidate{Addr: netip.AddrPortFrom(c.Addr.Addr(), p), TCP: true})
		}
	}
	return list
}

// warnIfUnreachable tells of the commonest mistake: a server with a public name that names
// private addresses alone, as in a container or behind NAT.
func (r *reach) warnIfUnreachable() {
	host, err := netip.ParseAddr(r.cfg.Host)
	if r.cfg.Host == "" || r.cfg.Host == "localhost" || err == nil && isPrivate(host) || r.finder != nil {
		return
	}
	for _, p := range *r.peers.Load() {
		if !isPrivate(p.Addr()) {
			return
		}
	}
	r.log.Warn("only private addresses are named for media: participants elsewhere will see nobody; give --node-ip with the public address, or --stun-server",
		zap.Stringers("addresses", *r.peers.Load()))
}

// warnIfNameless tells who speaks HTTPS, and so is not only trying things out, that there is no
// relay for want of a name.
func (r *reach) warnIfNameless() {
	if r.turn != nil && r.cfg.Host == "" && r.publicPort != 0 {
		r.log.Warn("TURN is not announced: give --public-url with the name by which browsers reach this server, or --no-turn")
	}
}

func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

// iceServers are the relays that a participant is told of.
func (r *reach) iceServers(pid signal.PID) []signal.ICEServer {
	if r.turn == nil || r.cfg.Host == "" {
		return nil
	}
	c := r.credentials.For(string(pid), time.Now())
	return []signal.ICEServer{{URLs: r.turnURLs(), Username: c.Username, Credential: c.Password}}
}

// turnURLs are those of RFC 7065, the cheapest way first. There are few: browsers try all at
// once, from each of their networks.
func (r *reach) turnURLs() []string {
	at := func(scheme string, port uint16, transport string) string {
		return scheme + ":" + hostInURL(r.cfg.Host) + ":" + strconv.Itoa(int(port)) + "?transport=" + transport
	}
	urls := []string{at("turn", r.node.Addr().Port(), "udp")}
	if r.udp != nil {
		urls = append(urls, at("turn", uint16(r.udp.LocalAddr().(*net.UDPAddr).Port), "udp"))
	}
	switch {
	case r.publicPort != 0:
		urls = append(urls, at("turns", r.publicPort, "tcp"))
	case r.tcp != nil:
		urls = append(urls, at("turn", uint16(r.tcp.Addr().(*net.TCPAddr).Port), "tcp"))
	}
	return urls
}

// hostInURL puts an IPv6 address into brackets.
func hostInURL(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + host + "]"
	}
	return host
}

// reachStats is what the ways to media count.
type reachStats struct {
	turn        turn.Stats
	ice         icetcp.Stats
	connections port.Stats
}

func (r *reach) stats() reachStats {
	s := reachStats{ice: r.ice.Stats(), connections: r.limiter.Stats()}
	if r.turn != nil {
		s.turn = r.turn.Stats()
	}
	return s
}
