package sfu

import "slices"

// listed is a map whose values are gone through in the order in which they came: who has to
// choose among several chooses the same ones each time. The zero value is empty.
type listed[K, V comparable] struct {
	by   map[K]V
	list []V
}

// get gives the zero value where there is none.
func (l *listed[K, V]) get(key K) V { return l.by[key] }

// put adds a value under a key that has none.
func (l *listed[K, V]) put(key K, value V) {
	if l.by == nil {
		l.by = map[K]V{}
	}
	l.by[key] = value
	l.list = append(l.list, value)
}

// remove is not for those who go through the list.
func (l *listed[K, V]) remove(key K) {
	value, ok := l.by[key]
	if !ok {
		return
	}
	delete(l.by, key)
	l.list = slices.DeleteFunc(l.list, func(other V) bool { return other == value })
}
