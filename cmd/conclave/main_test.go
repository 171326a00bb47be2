package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/conclave-sfu/conclave/e2ee"
)

// conclave runs a command line and gives its exit code and what it wrote.
func conclave(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, streams{out: &out, err: &err})
	return code, out.String(), err.String()
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args []string
		code int
		want string // in what it writes
	}{
		{[]string{"--help"}, exitOK, "serve"},
		{[]string{"serve", "--help"}, exitOK, "$CONCLAVE_MEDIA_PORT"},
		{[]string{}, exitUsage, "expected one of"},
		{[]string{"meet"}, exitUsage, "meet"},
		{[]string{"serve", "--port", "1"}, exitUsage, "unknown flag --port"},
		{[]string{"serve", "--listen", "8080"}, exitUsage, "try :8080"},
		{[]string{"serve", "--media-port", "70000"}, exitUsage, "70000"},
		{[]string{"serve", "--media-port", "many"}, exitUsage, "many"},
		{[]string{"serve", "--node-ip", "here"}, exitUsage, "here"},
		{[]string{"serve", "--grace", "soon"}, exitUsage, "soon"},
		{[]string{"serve", "--log-level", "loud"}, exitUsage, "loud"},
		{[]string{"serve", "--public-url", "meet.example.org"}, exitUsage, "https://meet.example.org"},
		{[]string{"healthcheck", "--listen", "nowhere"}, exitUsage, "nowhere"},
		{[]string{"link", "--url", "ftp://example.org"}, exitFailed, "http"},
		{[]string{"link", "--room", "a b"}, exitFailed, "room"},
		{[]string{"loadtest"}, exitUsage, "give --url or --link"},
		{[]string{"loadtest", "--link", "x", "--room", "y"}, exitUsage, "a link names its room"},
		{[]string{"loadtest", "--link", "http://localhost/r/x"}, exitUsage, "no secret after"},
		{[]string{"loadtest", "--url", "localhost:8080"}, exitUsage, "does not start with"},
		{[]string{"loadtest", "--url", "http://localhost", "--room", "two words"}, exitUsage, "room name"},
		{[]string{"loadtest", "--url", "http://localhost", "--subscribers", "0"}, exitUsage, "another who receives"},
		{[]string{"loadtest", "--url", "http://localhost", "--loss", "150%"}, exitUsage, "150%"},
		{[]string{"loadtest", "--url", "http://localhost", "--schedule", "1s:luck=1"}, exitUsage, "luck=1"},
		{[]string{"loadtest", "--url", "http://localhost", "--layers", "1k,2k,3k,4k"}, exitUsage, "--layers"},
		{[]string{"top", "--admin", "localhost:9090"}, exitUsage, "give a URL"},
		{[]string{"top", "--admin", "http://127.0.0.1:1", "--count", "1"}, exitFailed, "no server answers"},
		{[]string{"version"}, exitOK, "conclave "},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			code, stdout, stderr := conclave(t, tt.args...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("exit %d, want %d and %q in\n%s%s", code, tt.code, tt.want, stdout, stderr)
			}
			if code != exitOK && stdout != "" {
				t.Errorf("an error wrote to the standard output: %q", stdout)
			}
		})
	}
}

// A meeting's link may name an address that the load test cannot reach.
func TestLoadtestLink(t *testing.T) {
	link, err := freshLink("https://meet.example.org", "here")
	if err != nil {
		t.Fatal(err)
	}
	near := link
	near.Host = "http://127.0.0.1:8080"
	for url, want := range map[string]e2ee.Link{"": link, "http://127.0.0.1:8080/": near} {
		got, err := (&loadtestCmd{Link: link.URL(), URL: url}).link()
		if err != nil || got != want {
			t.Errorf("--url %q leads to %v (%v), want %v", url, got, err, want)
		}
	}
}

// TestEnvironment holds every flag of every command to its environment variable.
func TestEnvironment(t *testing.T) {
	parser, err := kong.New(&commandLine{}, kong.DefaultEnvars("CONCLAVE"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			want := "CONCLAVE_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
			if flag.Name != "help" && !reflect.DeepEqual(flag.Envs, []string{want}) {
				t.Errorf("%s --%s reads %v, want %s", command.Name, flag.Name, flag.Envs, want)
			}
		}
	}
}

func TestEnvironmentIsRead(t *testing.T) {
	t.Setenv("CONCLAVE_NODE_IP", "192.0.2.1,2001:db8::1")
	t.Setenv("CONCLAVE_MEDIA_PORT", "4000")
	var cli commandLine
	parser, err := kong.New(&cli, kong.DefaultEnvars("CONCLAVE"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve", "--media-port", "4001"}); err != nil {
		t.Fatal(err)
	}
	if cli.Serve.MediaPort != 4001 || len(cli.Serve.NodeIP) != 2 {
		t.Errorf("media port %d (the flag says 4001), node addresses %v", cli.Serve.MediaPort, cli.Serve.NodeIP)
	}
}

func TestLink(t *testing.T) {
	links := map[string]bool{}
	for range 3 {
		code, stdout, stderr := conclave(t, "link", "--url", "https://meet.example.org/", "--room", "den")
		if code != exitOK || strings.Count(stdout, "\n") != 1 {
			t.Fatalf("exit %d, wrote %q %s", code, stdout, stderr)
		}
		link, err := e2ee.ParseLink(strings.TrimSpace(stdout))
		if err != nil {
			t.Fatal(err)
		}
		if link.Host != "https://meet.example.org" || link.Room != "den" || link.Version != 1 {
			t.Errorf("link to %s, version %d", link.Page(), link.Version)
		}
		links[stdout] = true
	}
	if len(links) != 3 {
		t.Errorf("%d different links of 3", len(links))
	}
}

func TestLinkToARandomRoom(t *testing.T) {
	rooms := map[string]bool{}
	for range 3 {
		link, err := freshLink("http://localhost:8080", "")
		if err != nil {
			t.Fatal(err)
		}
		rooms[link.Room] = true
	}
	if len(rooms) != 3 {
		t.Errorf("rooms %v, want three", rooms)
	}
}

func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/health" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	if code, stdout, stderr := conclave(t, "healthcheck", "--listen", addr); code != exitOK || stdout != "ok\n" {
		t.Errorf("exit %d, wrote %q %s", code, stdout, stderr)
	}
	status = http.StatusServiceUnavailable
	if code, _, stderr := conclave(t, "healthcheck", "--listen", addr); code != exitFailed || !strings.Contains(stderr, "503") {
		t.Errorf("of a sick server: exit %d, wrote %s", code, stderr)
	}
	server.Close()
	if code, _, stderr := conclave(t, "healthcheck", "--listen", addr); code != exitFailed || !strings.Contains(stderr, "no server answers") {
		t.Errorf("of no server: exit %d, wrote %s", code, stderr)
	}
}

// TestHealthcheckOfHTTPS: whoever asks takes any certificate; it is on this machine.
func TestHealthcheckOfHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	t.Setenv("CONCLAVE_LISTEN", server.Listener.Addr().String())
	t.Setenv("CONCLAVE_TLS_CERT", "cert.pem")
	if code, stdout, stderr := conclave(t, "healthcheck"); code != exitOK || stdout != "ok\n" {
		t.Errorf("exit %d, wrote %q %s", code, stdout, stderr)
	}
}

func TestServePortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	_, mediaPort, _ := net.SplitHostPort(u.LocalAddr().String())
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"HTTP", []string{"--listen", l.Addr().String(), "--media-port", "0"}, []string{"--listen", "another program has this port"}},
		{"admin", []string{"--listen", "127.0.0.1:0", "--media-port", "0", "--admin", l.Addr().String()}, []string{"--admin", "another program has this port"}},
		{"media", []string{"--listen", "127.0.0.1:0", "--media-port", mediaPort}, []string{"--media-port", mediaPort, "another program has this port"}},
		{"no such address", []string{"--listen", "192.0.2.1:0", "--media-port", "0"}, []string{"--listen", "leave the host out"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := conclave(t, append([]string{"serve", "--log-level", "error"}, tt.args...)...)
			if code != exitListen || stdout != "" {
				t.Errorf("exit %d, want %d; standard output %q", code, exitListen, stdout)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("no %q in %q", want, stderr)
				}
			}
		})
	}
}

// TestServe takes the one line of the standard output for readiness, as scripts do.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := newLines()
	var log bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--media-port", "0", "--node-ip", "127.0.0.1"}, streams{out: out, err: &log})
	}()
	url := <-out.first
	if !strings.HasPrefix(url, "http://localhost:") {
		t.Fatalf("printed %q", url)
	}
	resp, err := http.Get(strings.TrimSpace(url) + "/api/v1/health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("health: %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d after a signal\n%s", code, log.String())
	}
	if out.String() != url {
		t.Errorf("standard output %q, want the one line %q", out.String(), url)
	}
}

// lines is a writer that says when the first write came.
type lines struct {
	bytes.Buffer
	first chan string
}

func newLines() *lines { return &lines{first: make(chan string, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	if l.Len() == 0 {
		l.first <- string(p)
	}
	return l.Buffer.Write(p)
}
