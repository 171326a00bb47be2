package sfu

// countQueues adds what waits in a room: slots that have no room on the path to their
// participant, with the packets of their sources that are kept for them, and packets on their
// way to shards.
func (r *room) countQueues(s *Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.connections() {
		for _, d := range c.video {
			if n := d.queued.Load(); n > 0 {
				s.BehindSlots++
				s.BehindPackets += int(n)
			}
		}
	}
	for _, p := range r.publications.list {
		for _, e := range p.layers {
			s.ShardPackets += e.up.waiting()
		}
	}
}

// waiting is how many packets wait for the shards of a stream.
func (u *upTrack) waiting() (n int) {
	crew := u.crew.Load()
	if crew == nil {
		return 0
	}
	for _, s := range *crew {
		n += s.ring.waiting()
	}
	return n
}

// udpOverhead is what IPv4 and UDP put before a packet, in bytes.
const udpOverhead = 28

// SentBytes is what has gone out since the node began by all ways, with the headers of UDP and IPv4:
// media and all that goes with it, and what was sent for others by [Node.WriteForeign]. It takes no
// lock: whoever watches the line may ask often.
func (n *Node) SentBytes() uint64 {
	sum := n.pathBytes.Load()
	for _, socket := range n.sockets {
		packets, bytes := socket.Sent()
		sum += bytes + packets*udpOverhead
	}
	return sum
}

// countSockets adds what the media port's sockets have sent, received and lost.
func (n *Node) countSockets(s *Stats) {
	for _, socket := range n.sockets {
		c := socket.Stats()
		s.SendMessages, s.SendCalls = s.SendMessages+c.Messages, s.SendCalls+c.Calls
		s.ReceiveCalls, s.Datagrams, s.FullReceives = s.ReceiveCalls+c.Receives, s.Datagrams+c.Received, s.FullReceives+c.Full
		s.SocketQueue += c.Queue
		s.SocketDropped += c.Dropped
		s.Dropped[reasonNames[dropSendError]] += c.Failed
	}
}
