package e2ee

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// sortBy orders as slices.Sort does: every length up to 64 and some beyond; ascending,
// descending and shuffled.
func TestSortBy(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 70 {
		if n >= 64 {
			n *= 16
		}
		for order := range 4 {
			list := rng.Perm(n)
			want := slices.Sorted(slices.Values(list))
			switch order {
			case 0:
				list = slices.Clone(want)
			case 1:
				list = slices.Clone(want)
				slices.Reverse(list)
			}
			sortBy(list, ascending)
			if !slices.Equal(list, want) {
				t.Fatalf("%d elements: %v", n, list)
			}
		}
	}
}

// No order makes it slow: n log n comparisons suffice for a roster of any history.
func TestSortByIsBounded(t *testing.T) {
	const n, bound = 1024, 2 * 1024 * 11 // 2n(1 + log2 n)
	for _, list := range [][]int{make([]int, n), rand.New(rand.NewPCG(3, 4)).Perm(n)} {
		count := 0
		sortBy(list, func(a, b int) bool { count++; return a < b })
		if count > bound {
			t.Errorf("%d comparisons for %d elements, more than %d", count, n, bound)
		}
	}
}
