//go:build !race

package faults

const racing = false
