package bwe

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

var update = flag.Bool("update", false, "draw the pictures of docs/ anew")

// A picture's measures, in pixels.
const (
	pictureWidth, pictureHeight = 860, 300
	pictureLeft, pictureTop     = 60, 30
	plotWidth, plotHeight       = 780, 220
	plotSeconds, plotBits       = 90, 3_600_000
)

// TestPicture draws the estimate against the capacity, for docs/. It fails if the picture
// there is another one: draw it anew with -update.
func TestPicture(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round otherwise")
	}
	steps := []struct {
		at   time.Duration
		rate int
	}{{0, 3_000_000}, {25 * second, 300_000}, {50 * second, 3_000_000}, {70 * second, 1_500_000}}
	n := newNetwork(4, impair.Conditions{})
	f := n.add("a", 600_000, layered)
	var capacity []sample
	for i, s := range steps {
		end := plotSeconds * second
		if i+1 < len(steps) {
			end = steps[i+1].at
		}
		n.link.Set(impair.Conditions{Rate: s.rate, Delay: 30 * ms, Jitter: 5 * ms, Loss: 0.01, Queue: 300 * ms})
		n.run(end - s.at)
		capacity = append(capacity, sample{at: s.at, target: float64(s.rate)}, sample{at: end, target: float64(s.rate)})
	}
	picture := draw(capacity, f.series)
	path := filepath.Join("..", "..", "docs", "estimate.svg")
	if *update {
		if err := os.WriteFile(path, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(there, picture) {
		t.Errorf("%s is not what the simulation gives now", path)
	}
}

func draw(capacity, series []sample) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", pictureWidth, pictureHeight)
	fmt.Fprintf(&b, `<title>Estimate against capacity: 3 Mbit/s, 300 kbit/s, 3 Mbit/s, 1.5 Mbit/s; 60 ms round trip, 5 ms jitter, 1 %% loss</title>`+"\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", pictureWidth, pictureHeight)
	for bits := 0; bits <= 3_000_000; bits += 1_000_000 {
		x, y := place(0, float64(bits))
		fmt.Fprintf(&b, `<path d="M%.1f %.1fh%d" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%d Mbit/s</text>`+"\n",
			x, y, plotWidth, x-4, y+4, bits/1_000_000)
	}
	for at := 0 * second; at <= plotSeconds*second; at += 10 * second {
		x, y := place(at, 0)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%.0f s</text>`+"\n", x, y+18, at.Seconds())
	}
	line(&b, "capacity", "#999", 0, capacity, targetOf)
	line(&b, "sent and received", "#7fb069", 1, smooth(series), useOf)
	line(&b, "target", "#1d4e89", 2, series, targetOf)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// place is where a value is drawn.
func place(at time.Duration, bits float64) (x, y float64) {
	return pictureLeft + plotWidth*at.Seconds()/plotSeconds, pictureTop + plotHeight*(1-min(bits/plotBits, 1))
}

func line(b *bytes.Buffer, name, colour string, row int, series []sample, value func(sample) float64) {
	fmt.Fprintf(b, `<text x="%d" y="18" fill="%s">%s</text><polyline fill="none" stroke="%s" stroke-width="1.5" points="`,
		pictureLeft+row*160, colour, name, colour)
	for _, s := range series {
		x, y := place(s.at, value(s))
		fmt.Fprintf(b, "%.1f,%.1f ", x, y)
	}
	b.WriteString(`"/>` + "\n")
}

// smooth averages what was received over half a second.
func smooth(series []sample) []sample {
	var list []sample
	for i := 5; i <= len(series); i += 5 {
		s := series[i-3]
		s.use = 0
		for _, part := range series[i-5 : i] {
			s.use += part.use / 5
		}
		list = append(list, s)
	}
	return list
}
