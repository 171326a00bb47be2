package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/sfu"
)

func TestEstimates(t *testing.T) {
	for _, test := range []struct {
		estimates []int64
		want      string
	}{
		{nil, ""},
		{[]int64{7}, "0.1:7 0.5:7 0.9:7"},
		{[]int64{50, 10, 40, 20, 30, 60, 100, 90, 80, 70}, "0.1:10 0.5:50 0.9:90"},
	} {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collector{
			func() room.Stats { return room.Stats{} },
			func() sfu.Stats { return sfu.Stats{Estimates: test.estimates} },
			func() reachStats { return reachStats{} },
		})
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range families {
			if f.GetName() != "conclave_media_estimate_bits" {
				continue
			}
			for _, m := range f.GetMetric() {
				got = append(got, fmt.Sprintf("%s:%.0f", m.GetLabel()[0].GetValue(), m.GetGauge().GetValue()))
			}
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%v: %q, want %q", test.estimates, s, test.want)
		}
	}
}
