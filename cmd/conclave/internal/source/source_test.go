package source

import (
	"net/netip"
	"testing"
)

func TestOf(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "::ffff:203.0.113.7": "203.0.113.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"127.0.0.1": "invalid Prefix", "::1": "invalid Prefix", "10.1.2.3": "invalid Prefix", "fe80::1%eth0": "invalid Prefix", "fd00::1": "invalid Prefix",
	} {
		if got := Of(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestCounts(t *testing.T) {
	c, one := Counts{}, Of(netip.MustParseAddr("203.0.113.7"))
	for range 2 {
		c.Add(one)
		c.Add(netip.Prefix{})
	}
	if c.Allows(one, 2) || !c.Allows(one, 3) || !c.Allows(netip.Prefix{}, 1) {
		t.Errorf("%v", c)
	}
	for range 2 {
		c.Remove(one)
		c.Remove(netip.Prefix{})
	}
	if len(c) != 0 {
		t.Errorf("left: %v", c)
	}
}
