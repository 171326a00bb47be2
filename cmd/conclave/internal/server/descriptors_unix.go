//go:build unix

package server

import "syscall"

// descriptors is how many files and sockets the process may have open.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return usualDescriptors
	}
	return int(min(limit.Cur, 1<<30))
}
