package sfu

import (
	"github.com/pion/logging"
	"go.uber.org/zap"
)

// pionLoggers passes what Pion warns of to the debug level: participants can cause
// any of it.
type pionLoggers struct{ log *zap.Logger }

// NewLogger names a logger after a part of Pion.
func (l pionLoggers) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{l.log.Named(scope).Sugar()}
}

type pionLogger struct{ log *zap.SugaredLogger }

func (pionLogger) Trace(string)                       {}
func (pionLogger) Tracef(string, ...any)              {}
func (pionLogger) Debug(string)                       {}
func (pionLogger) Debugf(string, ...any)              {}
func (pionLogger) Info(string)                        {}
func (pionLogger) Infof(string, ...any)               {}
func (l pionLogger) Warn(text string)                 { l.log.Debug(text) }
func (l pionLogger) Warnf(format string, args ...any) { l.log.Debugf(format, args...) }
func (l pionLogger) Error(text string)                { l.log.Debug(text) }
func (l pionLogger) Errorf(format string, args ...any) {
	l.log.Debugf(format, args...)
}
