package turn

import (
	"encoding/binary"
	"time"

	"github.com/pion/stun/v4"
)

// Sizes in bytes.
const (
	maxPacket   = 1500            // what is relayed: nothing larger comes over Ethernet
	maxMessage  = maxPacket + 100 // with what TURN puts around it
	channelHead = 4
	stunHead    = 20
	// minData is what pion/turn wants to see of ChannelData on a stream before it reads on.
	// What is relayed has 12 or more.
	minData = 5
)

// IsChannelData tells ChannelData from STUN by its first byte (RFC 7983).
func IsChannelData(packet []byte) bool { return len(packet) > 0 && packet[0]>>6 == 1 }

// isDataIndication tells what is relayed from answers (RFC 8656, Section 11.4).
func isDataIndication(message []byte) bool {
	return len(message) > 2 && binary.BigEndian.Uint16(message) == 0x0017
}

// FrameSize is how long a message on a stream is, by its first four bytes: STUN messages and
// ChannelData, which is padded there (RFC 8656, Section 12.5). It is 0 for what is neither.
func FrameSize(head [4]byte) int {
	length := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case IsChannelData(head[:]):
		return channelHead + (length+3)&^3
	case head[0]>>6 == 0 && length%4 == 0:
		return stunHead + length
	}
	return 0
}

// lifetime is what an answer says of an allocation; 0 if nothing.
func lifetime(m *stun.Message) time.Duration {
	value, err := m.Get(stun.AttrLifetime)
	if err != nil || len(value) != 4 || m.Type.Class != stun.ClassSuccessResponse {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint32(value)) * time.Second
}
