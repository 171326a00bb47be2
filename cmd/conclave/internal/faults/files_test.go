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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
)

// childFiles makes a process of this test binary a server that may open so many files beside those
// that it begins with.
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
func serveWithFiles(spare string) error {
	var n uint64
	if _, err := fmt.Sscan(spare, &n); err != nil {
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
	open, err := filesOf("self")
	if err != nil {
		return err
	}
	n += uint64(len(open))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println(s.Addr(), s.AdminAddr(), s.MediaAddr(), n)
	return s.Serve(ctx)
}

// filesOf are the numbers of the files that a process has open.
func filesOf(process string) (numbers []uint64, err error) {
	list, err := os.ReadDir("/proc/" + process + "/fd")
	for _, f := range list {
		n, err := strconv.ParseUint(f.Name(), 10, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, err
}

// openChild runs a server of a process of its own, which may open some files more than it begins
// with, and says whether it has opened all that it may: the limit is of their numbers.
func openChild(t *testing.T, spare int) (s *site, full func() bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprint(childFiles, "=", spare))
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
	s = &site{
		t: t, http: "http://" + addresses[0], admin: "http://" + addresses[1],
		mediaPort: netip.MustParseAddrPort(addresses[2]),
	}
	limit, err := strconv.ParseUint(addresses[3], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return s, func() bool {
		numbers, err := filesOf(strconv.Itoa(child.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		numbers = slices.DeleteFunc(numbers, func(n uint64) bool { return n >= limit })
		return uint64(len(numbers)) == limit
	}
}

// TestNoMoreFiles takes all file descriptors of a server. Whoever is there goes on;
// when descriptors are free again, others can join.
func TestNoMoreFiles(t *testing.T) {
	t.Parallel()
	const spare = 12 // two participants and the test's own requests take some
	s, full := openChild(t, spare)
	sender, viewer := meet(t, s, "files")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 10)
	var open []net.Conn
	address := strings.TrimPrefix(s.http, "http://")
	for range 100 { // the kernel completes more than the server can accept
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		open = append(open, conn)
	}
	until(t, "no files are left", full)
	viewer.awaitFrames(sender, 60)
	if !full() {
		t.Error("some files were left")
	}
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
