package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func asPublic(*publicMessage) {}

// Commits that members send as PublicMessage lead all into one epoch, between those sent as
// PrivateMessage: the transcript tells them apart.
func TestPublicCommits(t *testing.T) {
	for _, id := range []Suite{Suite1, Suite3, SuiteXWing} {
		random := testRandom(93)
		parties := testGroup(t, random, id, 4)
		for i := range 6 {
			author := i % 3
			f := forgery{params: CommitParams{AAD: fmt.Append(nil, "commit ", i)}}
			if i%2 == 0 {
				f.public = asPublic
			}
			if i == 2 {
				f.params.Removes = []LeafIndex{3}
				parties = parties[:3]
			}
			// The author's own new epoch is none that forgery makes: it rejoins by a commit
			// of another's, so each commit is processed by the others only.
			msg, _ := f.make(t, random, parties[author])
			var outs []*Processed
			for j, p := range parties {
				out, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs})
				if j == author {
					if !errors.Is(err, ErrOwnCommit) {
						t.Errorf("%v: its author: %v", id, err)
					}
					continue
				}
				requireNoError(t, "process", err)
				if out.Committer != parties[author].group.own || string(out.AAD) != string(f.params.AAD) {
					t.Errorf("%v: committer %d, data %q", id, out.Committer, out.AAD)
				}
				outs = append(outs, out)
			}
			for _, out := range outs[1:] {
				requireEqual(t, "authenticator", out.Group.EpochAuthenticator(), outs[0].Group.EpochAuthenticator())
			}
			v, err := Peek(msg)
			requireNoError(t, "peek", err)
			if v.Public != (f.public != nil) || v.ContentType != uint8(contentCommit) || v.Epoch != parties[0].group.Epoch() ||
				!bytes.Equal(v.GroupID, parties[0].group.GroupID()) || !bytes.Equal(v.AAD, f.params.AAD) {
				t.Errorf("%v: peek gives %+v", id, v)
			}
		}
	}
}

// A commit that is refused as PrivateMessage is refused as PublicMessage, with the same error.
func TestPublicCommitsRefusedAlike(t *testing.T) {
	random := testRandom(94)
	parties := testGroup(t, random, Suite3, 5)
	tried := 0
	for _, r := range refusals(t, random, parties) {
		if r.f.plain != nil || r.f.sender != nil || r.f.skip != 0 {
			continue // of the encryption
		}
		tried++
		r.f.public = asPublic
		msg, _ := r.f.make(t, random, parties[0])
		for i, p := range parties[1:] {
			if out, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime}); out != nil || !errors.Is(err, r.want) {
				t.Errorf("%s: member %d: %v", r.name, i+1, err)
			}
		}
	}
	t.Log(tried, "commits refused")
	if tried < 50 {
		t.Error("the table has shrunk")
	}
	requireOneEpoch(t, random, parties)
}

// What is wrong with a PublicMessage itself (RFC 9420, Sections 6 to 6.2).
func TestPublicMessagesRefused(t *testing.T) {
	random := testRandom(95)
	parties := testGroup(t, random, Suite3, 4)
	testCommit(t, random, parties[:3], 0, CommitParams{Removes: []LeafIndex{3}})
	parties = parties[:3]
	for _, tc := range []struct {
		name   string
		change func(*publicMessage)
		want   error
		text   string
	}{
		{"tag altered", func(m *publicMessage) { m.membershipTag[0] ^= 1 }, ErrInvalid, "membership tag"},
		{"tag short", func(m *publicMessage) { m.membershipTag = m.membershipTag[1:] }, ErrInvalid, "membership tag"},
		{"no tag", func(m *publicMessage) { m.membershipTag = nil }, ErrInvalid, "membership tag"},
		{"data altered", func(m *publicMessage) { m.content.content.aad = []byte("x") }, ErrInvalid, "membership tag"},
		{"confirmation tag altered", func(m *publicMessage) { m.content.tag[0] ^= 1 }, ErrInvalid, "membership tag"},
		{"another member's name", func(m *publicMessage) { m.content.content.sender = 1 }, ErrInvalid, "membership tag"},
		{"another member's name, tagged", tagged(parties[0].group, func(m *publicMessage) { m.content.content.sender = 1 }), ErrInvalid, "signature"},
		{"signature altered, tagged", tagged(parties[0].group, func(m *publicMessage) { m.content.signature[0] ^= 1 }), ErrInvalid, "signature"},
		{"of a blank leaf", tagged(parties[0].group, func(m *publicMessage) { m.content.content.sender = 3 }), ErrInvalid, "not a member"},
		{"of a leaf outside", tagged(parties[0].group, func(m *publicMessage) { m.content.content.sender = 1 << 31 }), ErrInvalid, "not a member"},
		{"another epoch", tagged(parties[0].group, func(m *publicMessage) { m.content.content.epoch++ }), ErrWrongEpoch, ""},
		{"another group", tagged(parties[0].group, func(m *publicMessage) { m.content.content.groupID = []byte("x") }), ErrWrongEpoch, ""},
		{"a proposal", tagged(parties[0].group, func(m *publicMessage) {
			m.content.content.typ, m.content.content.body = contentProposal, proposal{typ: proposalRemove, removed: 1}.append(nil)
		}), ErrProfile, "content type 2"},
		{"application data", tagged(parties[0].group, func(m *publicMessage) {
			m.content.content.typ, m.content.content.body = contentApplication, appendVec(nil, "hello")
		}), ErrProfile, "content type 1"},
		{"content of no type", func(m *publicMessage) { m.content.content.typ = 4 }, ErrProfile, "content type 4"},
	} {
		msg, _ := forgery{public: tc.change}.make(t, random, parties[0])
		out, err := parties[1].group.Process(msg, ProcessParams{PSKs: testPSKs})
		if out != nil || !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.text) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	honest, _ := forgery{public: asPublic}.make(t, random, parties[0])
	at := 4 + len(appendVec(nil, parties[0].group.context.groupID)) + 8 // the sender's type
	for typ := range 6 {
		msg := slices.Clone(honest)
		msg[at] = byte(typ)
		_, err := parties[1].group.Process(msg, ProcessParams{PSKs: testPSKs})
		if (err == nil) != (typ == senderMember) || err != nil && !errors.Is(err, ErrProfile) {
			t.Errorf("sender of type %d: %v", typ, err)
		}
	}
	for n := range honest {
		if _, err := parties[1].group.Process(honest[:n], ProcessParams{PSKs: testPSKs}); err == nil {
			t.Fatalf("%d of %d bytes are enough", n, len(honest))
		}
	}
	if _, err := parties[1].group.Process(append(honest, 0), ProcessParams{PSKs: testPSKs}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte left over: %v", err)
	}
	if _, err := parties[1].group.NewReceiver().Open(honest); !errors.Is(err, ErrProfile) {
		t.Errorf("as an application message: %v", err)
	}
	requireOneEpoch(t, random, parties)
}

// tagged makes the membership tag anew after a change.
func tagged(g *Group, change func(*publicMessage)) func(*publicMessage) {
	return func(m *publicMessage) {
		change(m)
		m.membershipTag = g.suite.membershipTag(g.secrets.membership, g.encoded, &m.content.authenticatedContent)
	}
}

func FuzzPublicMessage(f *testing.F) {
	s := newFuzzSeeds(f)
	msg, _ := forgery{public: asPublic}.make(f, testRandom(52), s.parties[0])
	f.Add(msg)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parsePublicMessage(b); err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatal("not the only encoding")
		}
		_, _ = Peek(b)
		if _, err := s.parties[1].group.Process(b, ProcessParams{PSKs: testPSKs}); err == nil && !bytes.Equal(b, msg) {
			t.Fatal("a commit was forged")
		}
	})
}
