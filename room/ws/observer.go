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
		logger.Log(level(e), string(e.Kind), fields...)
	}
}

func level(e room.Event) zapcore.Level {
	switch e.Kind {
	case room.Slow:
		return zap.WarnLevel
	case room.MediaFailed:
		if e.Err == nil { // the forwarder says why, and clients can cause it at will
			return zap.DebugLevel
		}
		return zap.WarnLevel // it took nobody
	case room.Broken:
		return zap.ErrorLevel
	}
	return zap.InfoLevel
}
