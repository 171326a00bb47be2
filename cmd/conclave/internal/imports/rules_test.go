package imports

import (
	"slices"
	"strings"
	"testing"
)

// rule keeps some packages of the module from others.
type rule struct {
	why string
	// applies chooses the packages (by name inside the module) that the rule holds.
	applies func(name string) bool
	// refused chooses what they may not import.
	refused func(name string) bool
	// deep refuses it through other packages too, not only directly.
	deep bool
}

func below(roots ...string) func(string) bool {
	return func(name string) bool { return withinAny(name, roots...) }
}

func butNot(in, out func(string) bool) func(string) bool {
	return func(name string) bool { return in(name) && !out(name) }
}

// leaf says whether a package is a pure part of the forwarder.
func leaf(name string) bool { return strings.HasPrefix(name, "sfu/") }

// pureRoom are the packages of room that know neither sockets nor media.
func pureRoom(name string) bool { return name == "room" || name == "room/signal" }

// foreign says whether a package is neither ours nor the standard library's.
func foreign(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return strings.Contains(first, ".")
}

// ways are the packages by which participants reach the server.
var ways = []string{
	"cmd/conclave/internal/certs", "cmd/conclave/internal/port", "cmd/conclave/internal/stream",
	"cmd/conclave/internal/turn", "cmd/conclave/internal/icetcp", "cmd/conclave/internal/source", "cmd/conclave/internal/reflexive",
}

// serverSide is all that a running server consists of, and `conclave serve` wires.
var serverSide = butNot(below(append([]string{"sfu", "room", "cmd/conclave/internal/server", "cmd/conclave/internal/config", "cmd/conclave/internal/bitrate", "webclient"}, ways...)...), below("room/client"))

var rules = []rule{
	{
		why:     "the server holds no key: nothing of it reaches e2ee",
		applies: serverSide, refused: below("e2ee"), deep: true,
	},
	{
		why:     "the forwarder knows no rooms",
		applies: below("sfu"), refused: below("room", "cmd", "webclient"), deep: true,
	},
	{
		why:     "the forwarder knows no HTTP",
		applies: below("sfu"), refused: below("net/http"),
	},
	{
		why:     "the forwarder's leaves import only the standard library and pion/rtp",
		applies: butNot(leaf, below("sfu/batchconn")),
		refused: func(name string) bool {
			return name != "github.com/pion/rtp" && (foreign(name) || withinAny(name, "sfu", "room", "e2ee", "cmd", "webclient"))
		},
	},
	{
		why:     "batchconn imports only the standard library and x/sys/unix (docs/adr/0005)",
		applies: below("sfu/batchconn"),
		refused: func(name string) bool {
			return name != "golang.org/x/sys/unix" && (foreign(name) || withinAny(name, "sfu", "room", "e2ee", "cmd", "webclient"))
		},
	},
	{
		why:     "a room asks for a Media interface and knows no media",
		applies: pureRoom, refused: below("github.com/pion", "sfu"), deep: true,
	},
	{
		why:     "a room knows no HTTP",
		applies: pureRoom, refused: below("net/http"),
	},
	{
		why:     "WebSockets reach media only through the room",
		applies: below("room/ws"), refused: below("github.com/pion", "sfu"), deep: true,
	},
	{
		why:     "the ways to media know neither rooms nor the forwarder: the server puts them together",
		applies: below(ways...), refused: below("room", "sfu", "webclient"), deep: true,
	},
	{
		why:     "a native participant shares no code with the forwarder",
		applies: below("room/client"), refused: below("sfu"), deep: true,
	},
	{
		why:     "e2ee knows neither rooms nor media",
		applies: below("e2ee"), refused: below("room", "sfu", "cmd", "webclient", "github.com/pion"), deep: true,
	},
	{
		why:     "e2ee stands on the standard library and x/crypto alone",
		applies: below("e2ee"),
		refused: butNot(foreign, below("golang.org/x/crypto")),
	},
	{
		why:     "e2ee does no I/O",
		applies: below("e2ee"), refused: below("net", "os", "log", "io/ioutil", "io/fs", "embed"),
	},
	{
		why:     "e2ee asks no system, but for the browser's in wasm",
		applies: butNot(below("e2ee"), below("e2ee/wasm")), refused: below("syscall", "unsafe", "plugin"),
	},
	{
		why:     "randomness is an input of e2ee",
		applies: butNot(below("e2ee"), below("e2ee/wasm", "e2ee/e2eesim")), refused: below("crypto/rand", "math/rand"),
	},
	{
		why:     "e2ee has HPKE of its own, which takes its randomness from the caller (docs/adr/0007)",
		applies: below("e2ee"), refused: below("crypto/hpke"),
	},
	{
		why:     "nothing imports cmd",
		applies: butNot(func(string) bool { return true }, below("cmd")), refused: below("cmd"), deep: true,
	},
}

// breaches says which imports of the module's packages break a rule.
func breaches(g graph) []string {
	var found []string
	for _, r := range rules {
		for name, p := range g {
			if p.ours() && r.applies(name) {
				found = append(found, r.check(g, p)...)
			}
		}
	}
	slices.Sort(found)
	return found
}

func (r rule) check(g graph, p pkg) []string {
	if r.deep {
		if chain := g.path(p.name(), r.refused); chain != nil {
			return []string{r.why + ": " + strings.Join(chain, " -> ")}
		}
		return nil
	}
	var found []string
	for _, imported := range p.Imports {
		if to := short(imported); r.refused(to) {
			found = append(found, r.why+": "+p.name()+" -> "+to)
		}
	}
	return found
}

func TestLayers(t *testing.T) {
	for _, b := range breaches(load(t, nil, "./...")) {
		t.Error(b)
	}
}

// TestLayersOfWASM sees e2ee with the files that only the browser's build has.
func TestLayersOfWASM(t *testing.T) {
	for _, b := range breaches(load(t, []string{"GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0"}, "./e2ee/...")) {
		t.Error(b)
	}
}

// TestServerHoldsNoKey says the first promise once more, as anyone can check it:
// go list -deps ./sfu ./room/... (without room/client) shows no e2ee.
func TestServerHoldsNoKey(t *testing.T) {
	patterns := []string{"./sfu/...", "./room", "./room/signal", "./room/ws", "./cmd/conclave/internal/server"}
	g := load(t, nil, patterns...)
	if _, ok := g["sfu"]; !ok {
		t.Fatal("go list names no sfu: this test sees nothing")
	}
	for name := range g {
		if within(name, "e2ee") {
			t.Errorf("%v depend on %s", patterns, name)
		}
	}
}

func TestLayersAreChecked(t *testing.T) {
	tests := []struct {
		name  string
		edges map[string][]string
		want  string // part of the one breach; empty: none
	}{
		{"clean", map[string][]string{"sfu": {"github.com/pion/webrtc/v4"}, "e2ee": {"crypto/sha256", "golang.org/x/crypto/argon2"}}, ""},
		{"sfu to e2ee through another module", map[string][]string{"sfu": {"example.org/x"}, "example.org/x": {module + "/e2ee/sframe"}}, "sfu -> example.org/x -> e2ee/sframe"},
		{"client may", map[string][]string{"room/client": {module + "/e2ee", "github.com/pion/webrtc/v4"}}, ""},
		{"client to sfu", map[string][]string{"room/client": {module + "/sfu"}}, "room/client -> sfu"},
		{"leaf to x/sys", map[string][]string{"sfu/packetcache": {"golang.org/x/sys/unix"}}, "sfu/packetcache -> golang.org/x/sys/unix"},
		{"batchconn to x/net", map[string][]string{"sfu/batchconn": {"golang.org/x/net/ipv4"}}, "sfu/batchconn -> golang.org/x/net/ipv4"},
		{"batchconn to x/sys", map[string][]string{"sfu/batchconn": {"golang.org/x/sys/unix"}}, ""},
		{"leaf to pion/rtp", map[string][]string{"sfu/packetcache": {"github.com/pion/rtp", "sync"}}, ""},
		{"room to http", map[string][]string{"room": {"net/http"}}, "room -> net/http"},
		{"e2ee to os", map[string][]string{"e2ee/mls": {"os"}}, "e2ee/mls -> os"},
		{"e2ee to crypto/rand", map[string][]string{"e2ee": {"crypto/rand"}}, "e2ee -> crypto/rand"},
		{"wasm may", map[string][]string{"e2ee/wasm": {"crypto/rand", "syscall/js"}}, ""},
		{"import of cmd", map[string][]string{"webclient": {module + "/cmd/conclave/internal/config"}}, "webclient -> cmd/conclave/internal/config"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := breaches(made(tt.edges))
			if tt.want == "" && len(got) != 0 {
				t.Fatalf("breaches %q, want none", got)
			}
			if tt.want != "" && !slices.ContainsFunc(got, func(b string) bool { return strings.HasSuffix(b, ": "+tt.want) }) {
				t.Fatalf("breaches %q, want one that ends in %q", got, tt.want)
			}
		})
	}
}

// made builds a graph from its edges; the keys are names inside the module, or
// import paths of others.
func made(edges map[string][]string) graph {
	g := graph{}
	for name, imports := range edges {
		path := name
		if !foreign(name) {
			path = module + "/" + name
		}
		p := pkg{ImportPath: path, Imports: imports}
		g[p.name()] = p
	}
	return g
}
