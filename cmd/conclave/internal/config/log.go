package config

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Sampling. Who comes and goes writes lines, and somebody may do so on purpose: of each
// message the first so many in an interval are logged, and then one of so many.
const (
	sampleInterval = time.Second
	sampleFirst    = 100
	sampleThen     = 100
)

// Logger writes to w at the level and in the form that the flags ask for. A flood of one
// message is thinned out, except at level debug.
func (s *Serve) Logger(w io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(s.LogLevel)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: %w", s.LogLevel, err)
	}
	core := zapcore.NewCore(s.encoder(), zapcore.Lock(zapcore.AddSync(w)), level)
	if level > zapcore.DebugLevel {
		core = zapcore.NewSamplerWithOptions(core, sampleInterval, sampleFirst, sampleThen)
	}
	return zap.New(core), nil
}

func (s *Serve) encoder() zapcore.Encoder {
	if s.LogFormat == "json" {
		cfg := zap.NewProductionEncoderConfig()
		cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
		return zapcore.NewJSONEncoder(cfg)
	}
	cfg := zap.NewDevelopmentEncoderConfig()
	cfg.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	return zapcore.NewConsoleEncoder(cfg)
}
