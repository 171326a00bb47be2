package ws

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/conclave-sfu/conclave/room"
)

// Observer returns an observer of rooms, for room.Config, that writes to logger.
func Observer(logger *zap.Logger) func(room.Event) {
	return func(e room.Event) {
		fields := []zap.Field{zap.String("room", e.Room), zap.Int("participants", e.Participants)}
		if e.PID != "" {
			fields = append(fields, zap.String("pid", string(e.PID)))
		}
		if e.Err != nil {
			fields = append(fields, zap.Error(e.Err))
		}
		logger.Log(level(e.Kind), string(e.Kind), fields...)
	}
}

func level(kind room.EventKind) zapcore.Level {
	switch kind {
	case room.Slow, room.MediaFailed:
		return zap.WarnLevel
	case room.Broken:
		return zap.ErrorLevel
	}
	return zap.InfoLevel
}
