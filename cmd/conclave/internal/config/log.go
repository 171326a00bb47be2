package config

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Logger writes to w at the level and in the form that the flags ask for.
func (s *Serve) Logger(w io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(s.LogLevel)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: %w", s.LogLevel, err)
	}
	core := zapcore.NewCore(s.encoder(), zapcore.Lock(zapcore.AddSync(w)), level)
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
