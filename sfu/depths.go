package sfu

// countQueues adds what waits in a room: slots that have no room on the path to their
// participant, and the packets of their sources that are kept for them.
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
