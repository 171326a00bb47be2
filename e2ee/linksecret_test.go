package e2ee

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func testLink(t testing.TB) Link {
	t.Helper()
	l, err := NewLink(rand.NewChaCha8([32]byte{7}), "https://meet.example:8443", "daily-stand_up9")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLinkRoundTrip(t *testing.T) {
	l := testLink(t)
	l.HostKeyHash[3] = 9
	for _, format := range []uint8{FormatSuite3, FormatSuite1, FormatXWing} {
		l.Format, l.Version = format, 258
		got, err := ParseLink(l.URL())
		if err != nil || got != l {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// TestLinkBytes holds the fragment's layout.
func TestLinkBytes(t *testing.T) {
	l := Link{Host: "http://localhost:8080", Room: "r", Format: 1, Version: 0x0203, Secret: LinkSecret{4}, HostKeyHash: [16]byte{5}}
	const want = "http://localhost:8080/r/r#AQIDBAAAAAAAAAAAAAAAAAAAAAUAAAAAAAAAAAAAAAAAAAA"
	if got := l.URL(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestLinkRefused(t *testing.T) {
	good := testLink(t).URL()
	page, fragment, _ := strings.Cut(good, "#")
	spoil := func(change func(*Link)) string {
		l := testLink(t)
		change(&l)
		return l.URL()
	}
	bad := map[string]string{
		"empty":               "",
		"no fragment":         page,
		"empty fragment":      page + "#",
		"another path":        strings.Replace(good, "/r/", "/x/", 1),
		"deeper path":         strings.Replace(good, "/r/", "/r/a/", 1),
		"query":               strings.Replace(good, "#", "?a=b#", 1),
		"trailing slash":      strings.Replace(good, "#", "/#", 1),
		"no scheme":           strings.TrimPrefix(good, "https://"),
		"another scheme":      strings.Replace(good, "https", "ftp", 1),
		"no host":             strings.Replace(good, "meet.example:8443", "", 1),
		"user info":           strings.Replace(good, "meet", "me@meet", 1),
		"padded":              good + "=",
		"longer":              good + "AAAA",
		"two fragments":       good + "#" + fragment,
		"line break":          page + "#" + fragment[:20] + "\n" + fragment[20:],
		"standard base64":     page + "#" + strings.Repeat("/", 47),
		"no secret":           spoil(func(l *Link) { l.Secret = LinkSecret{} }),
		"unknown format":      spoil(func(l *Link) { l.Format = 4 }),
		"format zero":         spoil(func(l *Link) { l.Format = 0 }),
		"version zero":        spoil(func(l *Link) { l.Version = 0 }),
		"room with a space":   spoil(func(l *Link) { l.Room = "a b" }),
		"room too long":       spoil(func(l *Link) { l.Room = strings.Repeat("a", 65) }),
		"no room":             spoil(func(l *Link) { l.Room = "" }),
		"letters not in URLs": spoil(func(l *Link) { l.Room = "zürich" }),
	}
	for i := range len(fragment) {
		bad[fmt.Sprintf("cut at %d", i)] = page + "#" + fragment[:i]
	}
	for name, s := range bad {
		_, err := ParseLink(s)
		if !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), fragment[:10]) {
			t.Errorf("%s: the error quotes the secret: %v", name, err)
		}
	}
}

func TestLinkSecretDoesNotPrint(t *testing.T) {
	l := testLink(t)
	secret := hex.EncodeToString(l.Secret[:])
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%08b"} {
		for _, v := range []any{l, &l, l.Secret, deriveLinkKeys(l), Config{Link: l}} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(strings.ToLower(got), secret[:12]) || strings.Contains(got, fmt.Sprint([]byte(l.Secret[:]))) {
				t.Errorf("%s of %T prints the secret", verb, v)
			}
		}
	}
	out, err := json.Marshal(l)
	if err != nil || strings.Contains(string(out), fmt.Sprintf("%d,%d", l.Secret[0], l.Secret[1])) || !strings.Contains(string(out), "[secret]") {
		t.Errorf("%s %v", out, err)
	}
}

// TestLinkKeys holds the key derivation by values of Python's hmac and hashlib.
func TestLinkKeys(t *testing.T) {
	l := Link{Host: "https://h", Room: "room", Format: 1, Version: 1}
	for i := range l.Secret {
		l.Secret[i] = byte(i)
	}
	k := deriveLinkKeys(l)
	for _, c := range []struct {
		label string
		got   []byte
		want  string
	}{
		{"psk", k.psk, "b92e4fbac96a82cdbc1fac08fdbb71bd54403acf8ee744d8e49c4137ee6ba328"},
		{"join", k.join, "1f5814c506eb3f53c28c2c44b07f4a16233cf6c92f31feba5dbab7fae3dba745"},
		{"name", k.name, "5533c5a3d6ab0bc901c064972782f4b9b142fded8afec8db778226aff619c2f3"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s", c.label, got)
		}
	}
	if got := string(pskID(0x0102)); got != "conclave/1 link\x01\x02" {
		t.Errorf("PSK id %q", got)
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add(testLink(f).URL())
	f.Add("https://a/r/b#AQABAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			if !errors.Is(err, ErrLink) {
				t.Fatal(err)
			}
			return
		}
		if l.URL() != s {
			t.Fatalf("%q became %q", s, l.URL())
		}
	})
}
