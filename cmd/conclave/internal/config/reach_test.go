package config

import "testing"

func TestReach(t *testing.T) {
	zero, own := uint16(0), uint16(4433)
	for _, tt := range []struct {
		flags  Serve
		stun   string
		port   uint16
		shared bool
		host   string
	}{
		{Serve{}, "", 0, true, ""},
		{Serve{Reach: Reach{MediaTCPPort: &zero}}, "", 0, false, ""},
		{Serve{Reach: Reach{MediaTCPPort: &own}}, "", 4433, true, ""},
		{Serve{Reach: Reach{STUNServer: "stun.example.org"}}, "stun.example.org:3478", 0, true, ""},
		{Serve{Reach: Reach{STUNServer: "192.0.2.1:19302"}}, "192.0.2.1:19302", 0, true, ""},
		{Serve{Reach: Reach{STUNServer: "[2001:db8::1]:9"}}, "[2001:db8::1]:9", 0, true, ""},
		{Serve{PublicURL: "https://meet.example.org:8443", HTTPS: HTTPS{ACMEDomain: []string{"a.example.org"}}}, "", 0, true, "meet.example.org"},
		{Serve{PublicURL: "https://[2001:db8::7]"}, "", 0, true, "2001:db8::7"},
		{Serve{HTTPS: HTTPS{ACMEDomain: []string{"a.example.org"}}}, "", 0, true, "a.example.org"},
	} {
		port, shared := tt.flags.MediaTCP()
		if stun, host := tt.flags.STUNAddr(), tt.flags.Host(); stun != tt.stun || port != tt.port || shared != tt.shared || host != tt.host {
			t.Errorf("%+v: STUN %q, TCP %d %t, host %q", tt.flags, stun, port, shared, host)
		}
	}
}
