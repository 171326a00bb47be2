#!/bin/sh
# Makes the recorded clip that `conclave loadtest` publishes: clip.ivf and clip.ogg.
# Needs ffmpeg with libvpx and libopus, and espeak-ng (Debian: ffmpeg espeak-ng).
# Other versions of these encoders give other bytes of the same kind: the tests hold
# for any clip that keeps the rules below.
set -eu
cd "$(dirname "$0")"
speech=$(mktemp --suffix=.wav)
trap 'rm -f "$speech"' EXIT

# 8 s of a moving test picture, 320x180 at 15 frames a second, a key frame each second;
# no alternate reference frames and no look-ahead, so that every packet is a frame shown.
ffmpeg -hide_banner -loglevel error -y \
	-f lavfi -i "testsrc2=size=320x180:rate=15:duration=8" \
	-pix_fmt yuv420p -c:v libvpx -b:v 220k -minrate 120k -maxrate 300k -bufsize 300k \
	-g 15 -keyint_min 15 -auto-alt-ref 0 -lag-in-frames 0 -deadline good -cpu-used 1 -threads 1 \
	-map_metadata -1 -fflags +bitexact -flags +bitexact clip.ivf

# 8 s of speech over a soft tone of 440 Hz, so that no moment is silent: Opus, 48 kHz,
# 20 ms a frame, a frame an Ogg page.
espeak-ng -v en -s 150 -w "$speech" \
	"This is Conclave. The server that carries this voice cannot hear it. One, two, three, four, five."
ffmpeg -hide_banner -loglevel error -y \
	-i "$speech" -f lavfi -i "sine=frequency=440:sample_rate=48000:duration=8" \
	-filter_complex "[0:a]aresample=48000,apad[s];[1:a]volume=0.6[t];[s][t]amix=inputs=2:duration=shortest:normalize=0,atrim=duration=8[a]" \
	-map "[a]" -ac 1 -ar 48000 -c:a libopus -b:a 32k -vbr on -application audio -frame_duration 20 \
	-page_duration 20000 -map_metadata -1 -fflags +bitexact -flags +bitexact clip.ogg
