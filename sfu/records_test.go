package sfu

import (
	"bytes"
	"slices"
	"testing"
)

// record makes a DTLS record.
func record(kind byte, epoch byte, body ...byte) []byte {
	return append([]byte{kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, byte(len(body) >> 8), byte(len(body))}, body...)
}

func TestSift(t *testing.T) {
	hello, change, finished := record(22, 0, 1, 2, 3), record(20, 0, 1), record(22, 1, 9, 9, 9)
	alert, goodbye := record(21, 0, 2, 40), record(21, 1, 5, 5, 5, 5)
	for name, test := range map[string]struct{ in, want []byte }{
		"nothing":                   {nil, nil},
		"a flight":                  {slices.Concat(hello, change, finished), slices.Concat(hello, change, finished)},
		"an alert in clear":         {alert, nil},
		"an alert amid a flight":    {slices.Concat(hello, alert, finished), slices.Concat(hello, finished)},
		"a sealed goodbye":          {goodbye, goodbye},
		"data in clear":             {record(23, 0, 1), nil},
		"a kind that is none":       {record(63, 0, 1), nil},
		"another change of cipher":  {slices.Concat(record(20, 0, 2), record(20, 0, 1, 1), record(20, 0)), nil},
		"a sealed change of cipher": {slices.Concat(record(20, 1, 1), record(20, 1, 7)), nil},
		"an empty handshake":        {record(22, 0), nil},
		"cut short":                 {slices.Concat(hello, finished[:len(finished)-1]), hello},
		"a header cut short":        {slices.Concat(hello, finished[:12]), hello},
	} {
		if got := sift(nil, test.in); !bytes.Equal(got, test.want) {
			t.Errorf("%s: %x, want %x", name, got, test.want)
		}
	}
}

func FuzzSift(f *testing.F) {
	f.Add(slices.Concat(record(22, 0, 1, 2, 3), record(21, 0, 2, 40), record(22, 1, 9)))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		once := sift(nil, datagram)
		if len(once) > len(datagram) {
			t.Fatalf("%d bytes of %d", len(once), len(datagram))
		}
		if again := sift(nil, once); !bytes.Equal(again, once) {
			t.Errorf("%x, sifted again %x", once, again)
		}
	})
}
