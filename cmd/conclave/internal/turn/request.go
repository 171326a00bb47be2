package turn

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/source"
)

// Error codes (RFC 8656, Section 19, and RFC 8489, Section 14.8).
const (
	badRequest         = 400
	unauthenticated    = 401
	forbidden          = 403
	unknownAttribute   = 420
	allocationMismatch = 437
	staleNonce         = 438
	wrongFamily        = 440
	wrongCredentials   = 441
	wrongTransport     = 442
	familyMismatch     = 443
	quotaReached       = 486
	noCapacity         = 508
)

// Values of attributes.
const (
	transportUDP = 17 // REQUESTED-TRANSPORT, the IP protocol
	familyIPv4   = 1
	familyIPv6   = 2
)

// request is a request whose sender is known.
type request struct {
	*stun.Message
	client   Client
	username string
	key      stun.MessageIntegrity
	now      time.Time
}

// binding says how the client is seen (RFC 8489, Section 3).
func (s *Server) binding(c Client, m *stun.Message) {
	if !s.mayAnswer(c) {
		return
	}
	s.answer(c, m, stun.ClassSuccessResponse, xored{stun.AttrXORMappedAddress, c.RemoteAddr()})
}

// request answers all methods that need a credential.
func (s *Server) request(c Client, m *stun.Message) {
	var do func(request) int
	switch m.Type.Method {
	case stun.MethodAllocate:
		do = s.allocate
	case stun.MethodRefresh:
		do = s.refresh
	case stun.MethodCreatePermission:
		do = s.createPermission
	case stun.MethodChannelBind:
		do = s.channelBind
	default: // TCP allocations' among them
		s.refuse(c, m, badRequest, nil)
		return
	}
	r, ok := s.authenticate(c, m)
	if !ok {
		return
	}
	if unknown := unknownAttributes(m); len(unknown) > 0 {
		s.refuse(c, m, unknownAttribute, r.key, unknown)
		return
	}
	if code := do(r); code != 0 {
		s.refuse(c, m, code, r.key)
	}
}

// authenticate checks the long-term credential (RFC 8489, Section 9.2.4). If it says no, it
// has answered.
func (s *Server) authenticate(c Client, m *stun.Message) (request, bool) {
	r := request{Message: m, client: c, now: s.now()}
	integrity, found := cutAfterIntegrity(m)
	if !found {
		s.challenge(r, unauthenticated)
		return r, false
	}
	username, _ := m.Get(stun.AttrUsername) // missing ones are of length 0
	realm, _ := m.Get(stun.AttrRealm)
	nonce, _ := m.Get(stun.AttrNonce)
	if len(username) == 0 || len(username) > maxUsername || len(realm) == 0 || len(nonce) == 0 || len(integrity) != 20 {
		s.refuse(c, m, badRequest, nil)
		return r, false
	}
	if !s.cfg.Credentials.fresh(string(nonce), c.RemoteAddr().Addr(), r.now) {
		s.challenge(r, staleNonce)
		return r, false
	}
	r.username = string(username)
	r.key = s.cfg.Credentials.key(r.username)
	if string(realm) != Realm || r.key.Check(m) != nil {
		s.count.refused.Add(1)
		s.challenge(r, unauthenticated)
		return r, false
	}
	return r, true
}

// cutAfterIntegrity drops the attributes behind MESSAGE-INTEGRITY, which prove nothing
// (RFC 8489, Section 14.5).
func cutAfterIntegrity(m *stun.Message) (value []byte, found bool) {
	for i, a := range m.Attributes {
		if a.Type == stun.AttrMessageIntegrity {
			m.Attributes = m.Attributes[:i+1]
			return a.Value, true
		}
	}
	return nil, false
}

// known are the attributes below 0x8000, which must be understood, that are.
var known = map[stun.AttrType]bool{
	stun.AttrUsername: true, stun.AttrMessageIntegrity: true, stun.AttrRealm: true, stun.AttrNonce: true,
	stun.AttrChannelNumber: true, stun.AttrLifetime: true, stun.AttrXORPeerAddress: true,
	stun.AttrRequestedAddressFamily: true, stun.AttrRequestedTransport: true,
	stun.AttrEvenPort: true, stun.AttrReservationToken: true,
	stun.AttrDontFragment: true, // nothing that is relayed here can be fragmented
}

func unknownAttributes(m *stun.Message) (list stun.UnknownAttributes) {
	for _, a := range m.Attributes {
		if a.Type < 0x8000 && !known[a.Type] {
			list = append(list, a.Type)
		}
	}
	return list
}

// allocate makes an allocation (RFC 8656, Section 7.2).
func (s *Server) allocate(r request) int {
	if a := s.allocation(r.client); a != nil {
		if a.request != r.TransactionID || a.username != r.username {
			return allocationMismatch
		}
		r.client.Send(a.answer)
		return 0
	}
	if expired(r.username, r.now) {
		s.count.refused.Add(1)
		s.challenge(r, unauthenticated)
		return 0
	}
	transport, err := r.Get(stun.AttrRequestedTransport)
	switch {
	case err != nil || len(transport) != 4:
		return badRequest
	case transport[0] != transportUDP:
		return wrongTransport
	case r.Contains(stun.AttrEvenPort) || r.Contains(stun.AttrReservationToken):
		return noCapacity
	}
	host, code := s.host(r)
	if code != 0 {
		return code
	}
	return s.admit(r, host)
}

// host is the address of the server's that an allocation is named after, in the family that
// the client asks for (RFC 8656, Section 7.2). Without a wish it is IPv4 if there is one.
func (s *Server) host(r request) (netip.Addr, int) {
	wish := byte(0)
	if value, err := r.Get(stun.AttrRequestedAddressFamily); err == nil {
		if len(value) != 4 || value[0] != familyIPv4 && value[0] != familyIPv6 {
			return netip.Addr{}, wrongFamily
		}
		wish = value[0]
	}
	var six netip.Addr
	for _, p := range s.cfg.Peers() {
		switch {
		case p.Addr().Is4() && wish != familyIPv6:
			return p.Addr(), 0
		case p.Addr().Is6() && !six.IsValid():
			six = p.Addr()
		}
	}
	if wish == familyIPv4 || !six.IsValid() {
		return six, wrongFamily
	}
	return six, 0
}

// admit counts and answers an allocation.
func (s *Server) admit(r request, host netip.Addr) int {
	lifetime := r.lifetime()
	a := &allocation{
		client: r.client, username: r.username, made: r.now, request: r.TransactionID, expires: r.now.Add(lifetime),
		permissions: map[netip.Addr]*permission{}, paths: map[netip.AddrPort]*Path{}, channels: map[uint16]*Path{},
	}
	s.mu.Lock()
	from, limits := source.Of(r.client.RemoteAddr().Addr()), s.cfg.Limits
	switch {
	case s.credentials[r.username] >= limits.PerCredential, !s.addresses.Allows(from, limits.PerAddress):
		s.mu.Unlock()
		return quotaReached
	case len(s.allocations) >= limits.Allocations:
		s.mu.Unlock()
		return noCapacity
	}
	s.number++
	a.relayed = netip.AddrPortFrom(host, max(s.number, 1)) // a name: nobody listens there
	a.answer = build(r.Message, stun.ClassSuccessResponse,
		xored{stun.AttrXORRelayedAddress, a.relayed}, xored{stun.AttrXORMappedAddress, r.client.RemoteAddr()},
		seconds(lifetime), r.key)
	s.credentials[r.username]++
	s.addresses.Add(from)
	s.allocations[r.client] = a
	s.mu.Unlock()
	r.client.Send(a.answer)
	return 0
}

// lifetime is what the client asks for, within bounds (RFC 8656, Section 7.2).
func (r request) lifetime() time.Duration {
	value, err := r.Get(stun.AttrLifetime)
	if err != nil || len(value) != 4 {
		return defaultLifetime
	}
	return min(max(time.Duration(binary.BigEndian.Uint32(value))*time.Second, defaultLifetime), maxLifetime)
}

// ends says whether the client asks for a lifetime of 0, which ends an allocation.
func (r request) ends() bool {
	value, err := r.Get(stun.AttrLifetime)
	return err == nil && len(value) == 4 && binary.BigEndian.Uint32(value) == 0
}

// own is the allocation that a request is about; code says why there is none.
func (s *Server) own(r request) (a *allocation, code int) {
	switch a = s.allocation(r.client); {
	case a == nil:
		return nil, allocationMismatch
	case a.username != r.username:
		return nil, wrongCredentials
	}
	return a, 0
}

// refresh keeps an allocation, or ends it (RFC 8656, Section 8.2).
func (s *Server) refresh(r request) int {
	a, code := s.own(r)
	if code != 0 {
		return code
	}
	if value, err := r.Get(stun.AttrRequestedAddressFamily); err == nil && (len(value) != 4 || value[0] != familyOf(a.relayed.Addr())) {
		return familyMismatch
	}
	lifetime := time.Duration(0)
	if r.ends() {
		s.end(a)
	} else {
		lifetime = min(r.lifetime(), a.made.Add(maxAge).Sub(r.now))
		if lifetime < time.Second {
			s.end(a)
			return allocationMismatch
		}
		s.mu.Lock()
		a.expires = r.now.Add(lifetime)
		s.mu.Unlock()
	}
	s.answer(r.client, r.Message, stun.ClassSuccessResponse, seconds(lifetime), r.key)
	return 0
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return familyIPv4
	}
	return familyIPv6
}

// createPermission permits addresses, all or none (RFC 8656, Section 10.2).
func (s *Server) createPermission(r request) int {
	a, code := s.own(r)
	if code != 0 {
		return code
	}
	var addrs []netip.Addr
	for _, attribute := range r.Attributes {
		if attribute.Type != stun.AttrXORPeerAddress {
			continue
		}
		peer, ok := peerOf(r.Message, attribute.Value)
		switch {
		case !ok || len(addrs) >= maxPermissions:
			return badRequest
		case !s.isPeerAddr(peer.Addr()):
			return forbidden
		case familyOf(peer.Addr()) != familyOf(a.relayed.Addr()):
			return familyMismatch
		}
		addrs = append(addrs, peer.Addr())
	}
	if len(addrs) == 0 {
		return badRequest
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, addr := range addrs {
		if !a.permit(addr, r.now) {
			return noCapacity
		}
	}
	s.answer(r.client, r.Message, stun.ClassSuccessResponse, r.key)
	return 0
}

// channelBind binds a channel to a peer (RFC 8656, Section 12.2).
func (s *Server) channelBind(r request) int {
	a, code := s.own(r)
	if code != 0 {
		return code
	}
	number, err := r.Get(stun.AttrChannelNumber)
	value, missing := r.Get(stun.AttrXORPeerAddress)
	if err != nil || missing != nil || len(number) != 4 {
		return badRequest
	}
	channel := binary.BigEndian.Uint16(number)
	peer, ok := peerOf(r.Message, value)
	switch {
	case !ok || channel < firstChannel || channel > lastChannel:
		return badRequest
	case !s.isPeer(peer):
		return forbidden
	case familyOf(peer.Addr()) != familyOf(a.relayed.Addr()):
		return familyMismatch
	case !a.bind(s, channel, peer, r.now):
		return badRequest
	}
	s.answer(r.client, r.Message, stun.ClassSuccessResponse, r.key)
	return 0
}

// challenge refuses a request and says by what it would be let in. An error says no more than
// its code: the shorter, the less an address that is not the client's own is flooded with.
func (s *Server) challenge(r request, code int) {
	if !s.mayAnswer(r.client) {
		return
	}
	s.answer(r.client, r.Message, stun.ClassErrorResponse, errorCode(code), stun.NewRealm(Realm),
		stun.NewNonce(s.cfg.Credentials.nonce(r.client.RemoteAddr().Addr(), r.now)))
}

func (s *Server) refuse(c Client, m *stun.Message, code int, key stun.MessageIntegrity, more ...stun.Setter) {
	s.count.refused.Add(1)
	if key == nil && !s.mayAnswer(c) {
		return
	}
	more = append([]stun.Setter{errorCode(code)}, more...)
	if key != nil {
		more = append(more, key)
	}
	s.answer(c, m, stun.ClassErrorResponse, more...)
}

// mayAnswer says whether a client that has proved nothing is answered. Who is at the other end
// of a stream is there.
func (s *Server) mayAnswer(c Client) bool {
	if _, there := c.(*streamClient); there || s.strangers.allow(c.RemoteAddr().Addr(), s.now()) {
		return true
	}
	s.count.unanswered.Add(1)
	return false
}

func (s *Server) answer(c Client, m *stun.Message, class stun.MessageClass, what ...stun.Setter) {
	c.Send(build(m, class, what...))
}

// build makes an answer to m.
func build(m *stun.Message, class stun.MessageClass, what ...stun.Setter) []byte {
	answer, err := stun.Build(append([]stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(m.Type.Method, class)}, what...)...)
	if err != nil {
		panic("turn: our own answer is wrong: " + err.Error())
	}
	return answer.Raw
}

func errorCode(code int) stun.Setter { return stun.ErrorCodeAttribute{Code: stun.ErrorCode(code)} }

// seconds is a LIFETIME attribute.
type seconds time.Duration

// AddTo implements [stun.Setter].
func (d seconds) AddTo(m *stun.Message) error {
	m.Add(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(time.Duration(d)/time.Second)))
	return nil
}
