package e2ee

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	good := []string{"A", "Ada Lovelace", "Zoë", "李小龙", "👩‍🚀", strings.Repeat("a", MaxName), "a  b", "مینا", "می\u200cنا", "ක්\u200dර", "❤\ufe0f\u200d🔥", "👩🏽\u200d🚀"}
	bad := []string{"", " a", "a ", "\u00a0a", "a\nb", "a\x00", "a\x7f", "\u0085x", "a\u202eb", "a\u2066b", "a\u2028b", "a\xffb", "a\u200bb", "a\u2060", "\u3164", "\u2800", "a\u00adb", "a\u200cb", "a\u200d", "\u200d", "می\u200c", "a\ufe0f", "❤\ufe0f\ufe0f", "a\U000e0041", "a\ufff9b", strings.Repeat("a", MaxName+1)}
	for _, name := range good {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range bad {
		if err := CheckName(name); !errors.Is(err, ErrName) {
			t.Errorf("%q is taken", name)
		}
	}
}

// sealedIdentity is an identity and what it is bound to.
func sealedIdentity(t testing.TB, name string) (linkKeys, leafBinding, []byte, leafIdentity) {
	t.Helper()
	device := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	b := leafBinding{room: "room", log: LogID{1}, pid: PID{2}, key: bytes.Repeat([]byte{4}, 32)}
	keys := deriveLinkKeys(Link{Host: "https://h", Room: "room", Format: 1, Version: 1, Secret: LinkSecret{1}})
	id := leafIdentity{Name: name, Device: [32]byte(device.Public().(ed25519.PublicKey))}
	data, err := sealIdentity(rand.NewChaCha8([32]byte{5}), keys, b, id, [64]byte(ed25519.Sign(device, b.message())))
	if err != nil {
		t.Fatal(err)
	}
	return keys, b, data, id
}

func TestIdentity(t *testing.T) {
	for _, name := range []string{"A", strings.Repeat("ü", MaxName/2)} {
		keys, b, data, id := sealedIdentity(t, name)
		if got, err := openIdentity(keys, b, data); err != nil || got != id || len(data) != identitySealed {
			t.Errorf("%v, %v, %d bytes", got, err, len(data))
		}
		for n := range data {
			if _, err := openIdentity(keys, b, data[:n]); err == nil {
				t.Errorf("opens cut to %d bytes", n)
			}
			changed := bytes.Clone(data)
			changed[n] ^= 1
			if _, err := openIdentity(keys, b, changed); err == nil {
				t.Errorf("opens with byte %d changed", n)
			}
		}
	}
}

// TestIdentityBound: an identity does not open for another room, log, pid, leaf or link.
func TestIdentityBound(t *testing.T) {
	keys, b, data, _ := sealedIdentity(t, "A")
	other := deriveLinkKeys(Link{Host: "https://h", Room: "room", Format: 1, Version: 1, Secret: LinkSecret{2}})
	if _, err := openIdentity(other, b, data); err == nil {
		t.Error("opens under another link")
	}
	for name, change := range map[string]func(*leafBinding){
		"room": func(b *leafBinding) { b.room = "r" },
		"log":  func(b *leafBinding) { b.log[0]++ },
		"pid":  func(b *leafBinding) { b.pid[0]++ },
		"key":  func(b *leafBinding) { b.key = bytes.Repeat([]byte{5}, 32) },
	} {
		moved := b
		change(&moved)
		if _, err := openIdentity(keys, moved, data); err == nil {
			t.Errorf("opens for another %s", name)
		}
	}
}

// FuzzIdentity feeds plaintexts that were sealed under the right key: what somebody with
// the link can do.
func FuzzIdentity(f *testing.F) {
	keys, b, data, _ := sealedIdentity(f, "A")
	plain, err := b.aead(keys, data[:identitySalt]).Open(nil, make([]byte, 12), data[identitySalt:], nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain, data)
	f.Fuzz(func(t *testing.T, plain, data []byte) {
		if id, err := parseIdentity(plain, b); err == nil && CheckName(id.Name) != nil {
			t.Errorf("took the name %q", id.Name)
		}
		_, _ = openIdentity(keys, b, data)
	})
}
