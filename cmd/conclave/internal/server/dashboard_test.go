package server

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// dashboard is as much of a Grafana dashboard as the test looks at.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		Type    string
		Targets []struct{ Expr string }
		GridPos struct{ X, Y, W, H int }
	}
	Templating struct {
		List []struct{ Query string }
	}
}

var metricName = regexp.MustCompile(`\b(?:conclave|go|process)_[a-z_]+`)

// TestDashboard holds the Grafana dashboard to the metrics that there are: it shows all that
// are Conclave's own, and no others.
func TestDashboard(t *testing.T) {
	raw, err := os.ReadFile("../../../../deploy/grafana/conclave.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	s := start(t)
	open(t, s, "den").hello() // some metrics are there from the first event on
	_, body := get(t, s.AdminAddr(), "/metrics")
	exists := make(map[string]bool)
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") {
			exists[metricName.FindString(line)] = true
		}
	}
	described := make(chan *prometheus.Desc, 100)
	collector{}.Describe(described) // what is only there when somebody receives
	close(described)
	for d := range described {
		exists[metricName.FindString(d.String())] = true
	}
	shown := make(map[string]bool)
	use := func(where, query string) {
		for _, name := range metricName.FindAllString(query, -1) {
			shown[name] = true
			if !exists[name] {
				t.Errorf("%s asks for %s, which /metrics does not have", where, name)
			}
		}
	}
	ids := make(map[int]bool)
	for _, p := range d.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: the id is taken, it is too wide, or empty", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			use("panel "+p.Title, target.Expr)
		}
	}
	for _, v := range d.Templating.List {
		use("a variable", v.Query)
	}
	for name := range exists {
		if strings.HasPrefix(name, "conclave_") && !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}
