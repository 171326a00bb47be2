package turn

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Realm of all credentials (RFC 8489, Section 14.9).
const Realm = "conclave"

const (
	// credentialLife is how long a credential makes allocations. A page that was told of it
	// when it connected may need it again much later in the same meeting.
	credentialLife = 12 * time.Hour
	// keepLife is for how long after that it keeps what it has made: a long meeting is not cut.
	keepLife = 12 * time.Hour
	// maxUsername in bytes: an expiry, a colon and a participant's id.
	maxUsername = 64
)

// Credentials makes and checks credentials and nonces. It keeps nothing about them.
type Credentials struct{ secret [32]byte }

// NewCredentials draws a secret, which lives as long as the process.
func NewCredentials() *Credentials {
	c := &Credentials{}
	rand.Read(c.secret[:]) // never fails
	return c
}

// String keeps the secret out of logs.
func (*Credentials) String() string { return "[secret]" }

// Credential is what a client proves to be let in.
type Credential struct{ Username, Password string }

// String keeps the password out of logs.
func (c Credential) String() string { return c.Username }

// For gives a participant a credential, which makes allocations for some hours.
func (c *Credentials) For(participant string, now time.Time) Credential {
	username := strconv.FormatInt(now.Add(credentialLife).Unix(), 10) + ":" + participant
	return Credential{username, c.password(username)}
}

func (c *Credentials) password(username string) string {
	return base64.RawURLEncoding.EncodeToString(c.mac("password", username))
}

// key is that of MESSAGE-INTEGRITY (RFC 8489, Section 9.2.2). Whoever asks must not be
// told whether the username is one of ours: it is any name that has the form.
func (c *Credentials) key(username string) []byte {
	key := md5.Sum([]byte(username + ":" + Realm + ":" + c.password(username)))
	return key[:]
}

// expired says whether a username makes no allocations any more. One that says nothing of
// its expiry is.
func expired(username string, now time.Time) bool {
	expiry, _, ok := strings.Cut(username, ":")
	at, err := strconv.ParseInt(expiry, 10, 64)
	return !ok || err != nil || len(username) > maxUsername || at <= now.Unix()
}

func (c *Credentials) mac(label, text string) []byte {
	h := hmac.New(sha256.New, c.secret[:])
	h.Write([]byte("conclave turn " + label + "\x00" + text))
	return h.Sum(nil)
}
