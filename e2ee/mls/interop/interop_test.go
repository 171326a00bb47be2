package interop

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// maker makes members of one implementation.
type maker func(id string) member

// peer is another implementation, in one suite.
type peer struct {
	name  string
	suite mls.Suite
	start func(t *testing.T, suite mls.Suite) maker
	// conclave says that it takes our GroupContext and leaf extensions.
	conclave bool
}

func startTSMLS(t *testing.T, suite mls.Suite) maker {
	n := startNode(t)
	return func(id string) member {
		m, err := n.newMember(suite, id)
		must(t, id, err)
		return m
	}
}

func startMLSGo(t *testing.T, suite mls.Suite) maker {
	return func(id string) member {
		m, err := newMLSGo(suite, id)
		must(t, id, err)
		return m
	}
}

func oursIn(t *testing.T, suite mls.Suite) maker {
	return func(id string) member {
		m, err := newOurs(suite, id)
		must(t, id, err)
		return m
	}
}

// peers are all pairs of an implementation and a suite that it shares with us.
var peers = []peer{
	{"ts-mls", mls.Suite1, startTSMLS, true},
	{"ts-mls", mls.Suite3, startTSMLS, true},
	{"ts-mls", mls.SuiteXWing, startTSMLS, true},
	{"mls-go", mls.Suite1, startMLSGo, false},
	{"mls-go", mls.Suite3, startMLSGo, false},
}

// extensions is our GroupContext where the peer takes it.
func (p peer) extensions() []extension {
	if !p.conclave {
		return nil
	}
	required := mls.RequiredCapabilities(mls.ExtensionConclaveGroup, mls.ExtensionConclaveIdentity)
	return []extension{extension(required), {mls.ExtensionConclaveGroup, []byte("room")}}
}

func eachPeer(t *testing.T, f func(t *testing.T, p peer, us, them maker)) {
	for _, p := range peers {
		t.Run(fmt.Sprintf("%s/%v", p.name, p.suite), func(t *testing.T) {
			t.Parallel()
			f(t, p, oursIn(t, p.suite), p.start(t, p.suite))
		})
	}
}

// Each side creates, adds several of both in one commit, removes, and fills the blank leaves.
func TestMeeting(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer, us, them maker) {
		for _, who := range []string{"we create", "they create"} {
			t.Run(who, func(t *testing.T) {
				creator, second := us("a"), them("b")
				if who == "they create" {
					creator, second = them("a"), us("b")
				}
				m := begin(t, creator, p.extensions())
				m.commit(creator, []member{second}, nil)
				m.talk()
				// Several at once, by the other side.
				c, d, e := us("c"), them("d"), us("e")
				m.commit(second, []member{c, d, e}, nil)
				m.talk()
				// Everybody renews its path.
				for _, by := range m.members[:5] {
					m.commit(by, nil, nil)
				}
				// Two go, by each side one; their leaves are filled again.
				m.commit(d, nil, []member{c})
				m.commit(e, nil, []member{second})
				f, g := them("f"), us("g")
				m.commit(d, []member{f}, nil)
				m.commit(e, []member{g}, nil)
				m.talk()
				// One goes and two come, in one commit.
				m.commit(f, []member{us("h"), them("i")}, []member{e})
				m.commit(g, []member{them("j")}, []member{f, d})
				m.talk()
			})
		}
	})
}

var seedFlag = flag.Uint64("seed", 0, "of TestAtRandom; 0 takes a new one")

// Thirty commits of members at random, who remove and add some others.
func TestAtRandom(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer, us, them maker) {
		seed := *seedFlag
		if seed == 0 {
			seed = rand.Uint64()
		}
		t.Logf("go test -run '^%s$' -seed %d", t.Name(), seed)
		dice := rand.New(rand.NewPCG(seed, 0))
		m := begin(t, us("first"), p.extensions())
		m.commit(m.members[0], []member{them("second"), us("third")}, nil)
		declined := 0
		for m.epochs < 31 {
			by := pick(dice, m.members)
			removes := m.some(dice, by)
			m.commit(by, newcomers(dice, m.epochs, us, them), removes)
			declined += len(m.empty)
			m.say(pick(dice, m.members), []byte("hello"))
		}
		t.Logf("%d members of %s joined, %d declined", m.peers-declined, p.name, declined)
		if declined*4 > m.peers {
			t.Errorf("%d of %d declined", declined, m.peers)
		}
	})
}

// some are members whom by removes.
func (m *meeting) some(dice *rand.Rand, by member) (removes []member) {
	for _, who := range m.members {
		if who != by && dice.IntN(4) == 0 {
			removes = append(removes, who)
		}
	}
	return removes
}

// newcomers are up to three, of both sides if of theirs.
func newcomers(dice *rand.Rand, epoch int, us, them maker) (adds []member) {
	for i := range dice.IntN(3) {
		adds = append(adds, them(fmt.Sprintf("epoch %d, number %d", epoch, i)))
	}
	if len(adds) > 0 || dice.IntN(2) == 0 {
		adds = append(adds, us(fmt.Sprintf("epoch %d, number 3", epoch)))
	}
	return adds
}
