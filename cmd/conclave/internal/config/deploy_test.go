package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v2"
)

// composeFile is as much of a compose file as says how the server is run.
type composeFile struct {
	Services map[string]struct {
		Environment map[string]string
		Command     any
		Ports       []string
		Volumes     []string
		User        string
		Build       struct{ Context, Dockerfile, Target string }
	}
	Volumes map[string]any
}

// composed reads a compose file, strictly: a key twice is an error.
func composed(t *testing.T, path string, variables map[string]string) (file composeFile) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`\$\{(\w+)[^}]*\}`).ReplaceAllStringFunc(string(raw), func(v string) string {
		name := regexp.MustCompile(`\w+`).FindString(v)
		if variables[name] == "" {
			t.Errorf("%s: nothing says what ${%s} is", path, name)
		}
		return variables[name]
	})
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// listensOn are the ports that a server with these flags opens, as compose files write them.
func listensOn(t *testing.T, s *Serve) (list []string) {
	t.Helper()
	for _, addr := range []string{s.ListenAddr(), s.HTTPAddr()} {
		if addr == "" {
			continue
		}
		hp, err := parseAddr("", addr)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(hp.port))
	}
	list = append(list, fmt.Sprintf("%d/udp", s.MediaPort))
	if port, _ := s.MediaTCP(); port != 0 {
		list = append(list, fmt.Sprint(port))
	}
	if s.TURNPort != 0 {
		list = append(list, fmt.Sprintf("%d/udp", s.TURNPort))
	}
	return list
}

// TestComposeFiles: what they set is a flag of the server's, with a value that it takes, and what
// they publish is a port that it listens on; media ports under their own number, since that is the one
// that browsers are told.
func TestComposeFiles(t *testing.T) {
	for _, path := range []string{"compose.yaml", "compose.proxy.yaml"} {
		t.Run(path, func(t *testing.T) {
			file := composed(t, "../../../../deploy/"+path, map[string]string{"DOMAIN": "meet.example.org", "PUBLIC_IP": "203.0.113.7"})
			service := file.Services["conclave"]
			var s Serve
			parser, err := kong.New(&s, kong.DefaultEnvars("CONCLAVE"))
			if err != nil {
				t.Fatal(err)
			}
			var known []string
			for _, f := range parser.Model.Flags {
				known = append(known, f.Envs...)
			}
			for name, value := range service.Environment {
				if !slices.Contains(known, name) {
					t.Errorf("%s is no flag of the server's", name)
				}
				t.Setenv(name, value)
			}
			if _, err := parser.Parse(nil); err != nil {
				t.Fatal(err)
			}
			listens := listensOn(t, &s)
			for _, published := range service.Ports {
				outside, inside, _ := strings.Cut(published, ":")
				if !slices.Contains(listens, inside) {
					t.Errorf("%s is published; the server listens on %v", inside, listens)
				}
				media, _ := s.MediaTCP()
				own := strings.HasSuffix(inside, "/udp") || inside == fmt.Sprint(media)
				if number, _, _ := strings.Cut(inside, "/"); own && number != outside {
					t.Errorf("media is told to be at %s, and published at %s", inside, outside)
				}
			}
			for _, port := range listens {
				published := slices.ContainsFunc(service.Ports, func(p string) bool { return strings.HasSuffix(p, ":"+port) })
				behind := port == "8080" && s.TrustForwardedFor // the proxy comes to it
				if !published && !behind {
					t.Errorf("nobody reaches port %s", port)
				}
			}
			if len(s.NodeIP) != 1 || s.NodeIP[0].String() != "203.0.113.7" || s.Host() != "meet.example.org" {
				t.Errorf("browsers are led to %v and %q", s.NodeIP, s.Host())
			}
			expectVolumes(t, &file, &s)
		})
	}
}

// expectVolumes wants certificates kept in a volume that there is.
func expectVolumes(t *testing.T, file *composeFile, s *Serve) {
	t.Helper()
	kept := s.ACMECache == ""
	for _, v := range file.Services["conclave"].Volumes {
		name, folder, _ := strings.Cut(v, ":")
		if _, there := file.Volumes[name]; !there {
			t.Errorf("there is no volume %q", name)
		}
		kept = kept || folder == s.ACMECache
	}
	if !kept {
		t.Errorf("%s is lost with the container", s.ACMECache)
	}
}

// TestDockerfile: what compose files build is there, the ports that it names are those of compose
// files, and the health check is a command.
func TestDockerfile(t *testing.T) {
	raw, err := os.ReadFile("../../../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, path := range []string{"compose.yaml", "compose.proxy.yaml"} {
		file := composed(t, "../../../../deploy/"+path, map[string]string{"DOMAIN": "meet.example.org", "PUBLIC_IP": "203.0.113.7"})
		b := file.Services["conclave"].Build
		if b.Context != ".." || b.Dockerfile != "deploy/Dockerfile" || !strings.Contains(text, "FROM runtime AS "+b.Target+"\n") {
			t.Errorf("%s builds %+v", path, b)
		}
	}
	for _, line := range []string{"ENTRYPOINT [\"/conclave\"]", "CMD [\"serve\"]", `"/conclave", "healthcheck"`, "USER 65532:65532"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s", line)
		}
	}
	for _, source := range regexp.MustCompile(`(?m)^COPY ([a-z0-9]+) `).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat("../../../../" + source[1]); err != nil {
			t.Error(err)
		}
	}
}
