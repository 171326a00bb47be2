package turn

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/pion/stun/v4"
)

// Sizes in bytes.
const (
	maxPacket   = 1500            // what is relayed: nothing larger comes over Ethernet
	maxMessage  = maxPacket + 100 // with what TURN puts around it
	channelHead = 4
)

// Channel numbers (RFC 8656, Section 12).
const (
	firstChannel = 0x4000
	lastChannel  = 0x4FFF
)

var buffers = sync.Pool{New: func() any { return new([maxMessage]byte) }}

// IsChannelData tells ChannelData from STUN by its first byte (RFC 7983).
func IsChannelData(packet []byte) bool { return len(packet) > 0 && packet[0]>>6 == 1 }

// FrameSize is how long a message on a stream is, by its first four bytes: STUN messages and
// ChannelData, which is padded there (RFC 8656, Section 12.5). It is 0 for what is neither.
func FrameSize(head [4]byte) int {
	length := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case head[0]>>6 == 1:
		return channelHead + (length+3)&^3
	case head[0]>>6 == 0 && length%4 == 0:
		return stunHead + length
	}
	return 0
}

const stunHead = 20

// appendChannelData pads for UDP too, which is allowed and makes one form of two.
func appendChannelData(b []byte, channel uint16, data []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, channel)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return pad(append(b, data...), len(data))
}

func pad(b []byte, length int) []byte {
	return append(b, make([]byte, (4-length%4)%4)...)
}

// readChannelData gives the channel and the data, a part of packet.
func readChannelData(packet []byte) (channel uint16, data []byte, ok bool) {
	if len(packet) < channelHead {
		return 0, nil, false
	}
	channel, length := binary.BigEndian.Uint16(packet), int(binary.BigEndian.Uint16(packet[2:]))
	if length > len(packet)-channelHead {
		return 0, nil, false
	}
	return channel, packet[channelHead : channelHead+length], true
}

// appendDataIndication writes a Data indication (RFC 8656, Section 11.4) with a transaction id
// of zeros: nobody answers it.
func appendDataIndication(b []byte, peer netip.AddrPort, data []byte) []byte {
	const dataType = 0x0017
	address := xorAddress(peer)
	padded := (len(data) + 3) &^ 3
	b = binary.BigEndian.AppendUint16(b, dataType)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(address)+4+padded))
	b = binary.BigEndian.AppendUint32(b, magicCookie)
	b = append(b, make([]byte, stun.TransactionIDSize)...)
	b = appendAttribute(b, stun.AttrXORPeerAddress, address)
	return appendAttribute(b, stun.AttrData, data)
}

const magicCookie = 0x2112A442

func appendAttribute(b []byte, t stun.AttrType, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...), len(value))
}

// xorAddress encodes an address for a message with a transaction id of zeros (RFC 8489,
// Section 14.2).
func xorAddress(a netip.AddrPort) []byte {
	family, addr := byte(1), a.Addr().AsSlice()
	if len(addr) == 16 {
		family = 2
	}
	value := []byte{0, family}
	value = binary.BigEndian.AppendUint16(value, a.Port()^(magicCookie>>16))
	for i, b := range addr {
		if i < 4 {
			b ^= byte(uint32(magicCookie) >> (24 - 8*i))
		}
		value = append(value, b)
	}
	return value
}

// xored is an address attribute of a message. The family is that of the address.
type xored struct {
	attribute stun.AttrType
	addr      netip.AddrPort
}

// AddTo implements [stun.Setter].
func (x xored) AddTo(m *stun.Message) error {
	a := stun.XORMappedAddress{IP: x.addr.Addr().AsSlice(), Port: int(x.addr.Port())}
	return a.AddToAs(m, x.attribute)
}

// peerOf reads the value of an XOR-PEER-ADDRESS attribute (RFC 8489, Section 14.2).
func peerOf(m *stun.Message, value []byte) (netip.AddrPort, bool) {
	if len(value) < 4 || (value[1] != 1 || len(value) != 4+4) && (value[1] != 2 || len(value) != 4+16) {
		return netip.AddrPort{}, false
	}
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], magicCookie)
	copy(mask[4:], m.TransactionID[:])
	var plain [16]byte
	for i, b := range value[4:] {
		plain[i] = b ^ mask[i]
	}
	addr, _ := netip.AddrFromSlice(plain[:len(value)-4]) // 4 or 16 bytes
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(value[2:])^(magicCookie>>16)), true
}
