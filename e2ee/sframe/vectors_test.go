package sframe

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"testing"
)

// hexBytes is hexadecimal in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vectors struct {
	Header []struct {
		KID     KID      `json:"kid"`
		CTR     CTR      `json:"ctr"`
		Encoded hexBytes `json:"encoded"`
	} `json:"header"`
	SFrame []sframeVector `json:"sframe"`
}

type sframeVector struct {
	Suite     Suite    `json:"cipher_suite"`
	KID       KID      `json:"kid"`
	CTR       CTR      `json:"ctr"`
	BaseKey   hexBytes `json:"base_key"`
	KeyLabel  hexBytes `json:"sframe_key_label"`
	SaltLabel hexBytes `json:"sframe_salt_label"`
	Key       hexBytes `json:"sframe_key"`
	Salt      hexBytes `json:"sframe_salt"`
	Metadata  hexBytes `json:"metadata"`
	Nonce     hexBytes `json:"nonce"`
	PT        hexBytes `json:"pt"`
	CT        hexBytes `json:"ct"`
}

// loadVectors reads the vectors of RFC 9605 (Appendix C), which lie beside the
// repository.
func loadVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile("../../../shared/vectors/sframe/test-vectors.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no RFC 9605 vectors beside the repository: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestHeaderVectors(t *testing.T) {
	v := loadVectors(t)
	if len(v.Header) == 0 {
		t.Fatal("no header vectors")
	}
	for _, c := range v.Header {
		h := Header{KID: c.KID, CTR: c.CTR}
		if got := h.Append(nil); !bytes.Equal(got, c.Encoded) {
			t.Errorf("%+v: encoded %x, want %x", h, got, c.Encoded)
		}
		got, n, err := ParseHeader(c.Encoded)
		if err != nil || got != h || n != len(c.Encoded) || n != h.Size() {
			t.Errorf("%x: parsed %+v, %d bytes, %v; want %+v", c.Encoded, got, n, err, h)
		}
	}
}

func TestSFrameVectors(t *testing.T) {
	tested := map[Suite]bool{}
	for _, c := range loadVectors(t).SFrame {
		if c.Suite.KeySize() == 0 {
			continue // AES-CTR with HMAC: not of this package
		}
		tested[c.Suite] = true
		testSFrameVector(t, c)
	}
	if !tested[AES128GCMSHA256] || !tested[AES256GCMSHA512] {
		t.Errorf("suites tested: %v, want both of the package", tested)
	}
}

func testSFrameVector(t *testing.T, c sframeVector) {
	if got := label("key ", c.KID, c.Suite); got != string(c.KeyLabel) {
		t.Errorf("suite %d: key label %x, want %x", c.Suite, got, c.KeyLabel)
	}
	if got := label("salt ", c.KID, c.Suite); got != string(c.SaltLabel) {
		t.Errorf("suite %d: salt label %x, want %x", c.Suite, got, c.SaltLabel)
	}
	key, salt, err := c.Suite.Derive(c.BaseKey, c.KID)
	if err != nil || !bytes.Equal(key, c.Key) || !bytes.Equal(salt, c.Salt) {
		t.Errorf("suite %d: derived %x, %x, %v; want %x, %x", c.Suite, key, salt, err, c.Key, c.Salt)
	}
	k, err := NewKey(c.Suite, c.BaseKey, c.KID)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.nonceOf(c.CTR); !bytes.Equal(got, c.Nonce) {
		t.Errorf("suite %d: nonce %x, want %x", c.Suite, got, c.Nonce)
	}
	if got := k.Seal(nil, c.CTR, c.Metadata, c.PT); !bytes.Equal(got, c.CT) {
		t.Errorf("suite %d: sealed %x, want %x", c.Suite, got, c.CT)
	}
	got, err := k.Open(nil, c.Metadata, c.CT)
	if err != nil || !bytes.Equal(got, c.PT) {
		t.Errorf("suite %d: opened %x, %v; want %x", c.Suite, got, err, c.PT)
	}
}
