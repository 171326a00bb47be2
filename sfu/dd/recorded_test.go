package dd

import (
	"reflect"
	"testing"

	"github.com/conclave-sfu/conclave/sfu/dd/recorded"
)

// TestRecorded reads what a real encoder wrote: it has the structure of its mode, frames
// that count up, and references to frames that were there.
func TestRecorded(t *testing.T) {
	for name, want := range map[string]*table{
		"vp9_L1T3": &l1t3, "vp9_L3T3": &l3t3, "vp9_L3T3_KEY": &l3t3Key,
		"av1_L1T3": &l1t3, "av1_L3T3": &l3t3, "av1_L3T3_KEY": &l3t3Key, "av1_S3T3": &s3t3,
		"vp8_simulcast_q": nil,
	} {
		t.Run(name, func(t *testing.T) {
			var r Reader
			var d Descriptor
			there := map[uint16]Layer{}
			last := uint16(0)
			for i, extension := range recorded.Descriptors(t, name) {
				if err := r.Read(extension, &d); err != nil {
					t.Fatalf("line %d, %x: %v", i+1, extension, err)
				}
				if i == 0 {
					last = d.FrameNumber - 1
					checkStructure(t, d.Structure, want)
				}
				if ahead := d.FrameNumber - last; ahead > 16 { // encodings of a simulcast count together
					t.Errorf("line %d: frame %d after %d", i+1, d.FrameNumber, last)
				}
				last = d.FrameNumber
				if at, seen := there[last]; seen && at != d.Layer {
					t.Errorf("line %d: frame %d is {%v}, was {%v}", i+1, last, d.Layer, at)
				}
				there[last] = d.Layer
				for _, diff := range d.Diffs {
					if at, ok := there[last-diff]; !ok || at.Spatial > d.Spatial || at.Temporal > d.Temporal {
						t.Errorf("line %d: {%v} refers to frame %d: {%v}, %t", i+1, d.Layer, last-diff, at, ok)
					}
				}
				if d.DecodeTargets.Present() == 0 {
					t.Errorf("line %d: a frame of no decode target", i+1)
				}
				checkRewrite(t, &r, &d, extension)
			}
		})
	}
}

func checkStructure(t *testing.T, got *Structure, want *table) {
	t.Helper()
	if want == nil {
		return
	}
	s := want.structure(t, got.offset)
	s.Resolutions, s.bits = got.Resolutions, got.bits
	if !reflect.DeepEqual(got, s) {
		t.Errorf("structure %+v\nwant %+v", *got, *s)
	}
	if len(got.Resolutions) != int(got.Templates[len(got.Templates)-1].Spatial)+1 {
		t.Errorf("resolutions %v", got.Resolutions)
	}
}

// checkRewrite shifts a descriptor to and fro, and puts a mask into it.
func checkRewrite(t *testing.T, r *Reader, d *Descriptor, extension []byte) {
	t.Helper()
	dst := make([]byte, len(extension)+Grown)
	n := Rewrite(dst, extension, d.Structure, 7, 1)
	var again Descriptor
	if err := r.Read(dst[:n], &again); err != nil || again.FrameNumber != d.FrameNumber+7 || again.Active != 1 {
		t.Errorf("%x rewritten to %x: %v", extension, dst[:n], err)
	}
	sameFrame(t, d, &again)
}
