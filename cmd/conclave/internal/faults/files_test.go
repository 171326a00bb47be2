//go:build linux

package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
)

// childFiles makes a process of this test binary a server that may open so many files.
const childFiles = "FAULTS_CHILD_FILES"

func TestMain(m *testing.M) {
	if limit := os.Getenv(childFiles); limit != "" {
		if err := serveWithFiles(limit); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveWithFiles serves until SIGTERM.
func serveWithFiles(limit string) error {
	var n uint64
	if _, err := fmt.Sscan(limit, &n); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		return err
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	s, err := server.New(server.Config{
		Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Media: netip.AddrPortFrom(loopback, 0),
		NodeIPs: []netip.Addr{loopback}, Version: "faults", Log: zap.NewNop(),
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println(s.Addr(), s.AdminAddr(), s.MediaAddr())
	return s.Serve(ctx)
}

// openChild runs a server of a process of its own.
func openChild(t *testing.T, files int) *site {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprint(childFiles, "=", files))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Signal(syscall.SIGTERM)
		if err := child.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not begin: %v", err)
	}
	addresses := strings.Fields(line)
	return &site{
		t: t, http: "http://" + addresses[0], admin: "http://" + addresses[1],
		mediaPort: netip.MustParseAddrPort(addresses[2]),
	}
}

// TestNoMoreFiles takes all file descriptors of a server. Whoever is there goes on;
// when descriptors are free again, others can join.
func TestNoMoreFiles(t *testing.T) {
	t.Parallel()
	const files = 64
	s := openChild(t, files)
	sender, viewer := meet(t, s, "files")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 10)
	var open []net.Conn
	address := strings.TrimPrefix(s.http, "http://")
	for range 3 * files { // the kernel completes more than the server can accept
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		open = append(open, conn)
	}
	if len(open) < files {
		t.Errorf("only %d connections", len(open))
	}
	viewer.awaitFrames(sender, 60)
	viewer.unharmed("while no files are left")
	if h := viewer.eyes.holes(); h > 0 {
		t.Errorf("%d packets are missing", h)
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	until(t, "the server answers again", func() bool {
		answer, err := http.Get(s.http + "/api/v1/health")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	late := s.join("files", role{slots: 1, watch: []*probe{sender}})
	late.awaitFrames(sender, 10)
	viewer.awaitFrames(sender, 10)
	viewer.unharmed("after files were free again")
	http.DefaultClient.CloseIdleConnections()
}
