package e2ee

// sortBy sorts a list in place, equal elements in any order, in n log n steps however it
// was. slices.SortFunc is faster for long lists, but 20 kB of WebAssembly for each type
// of element; these lists have at most one element for each member.
//
// An instantiated generic function also makes the linker keep all methods of the types that
// its argument reaches, as if reflection could call them: with a time.Time among them, the
// formatting of dates. Lists of such types are sorted by heapsort itself.
func sortBy[T any](list []T, less func(a, b T) bool) {
	heapsort(len(list),
		func(i, j int) bool { return less(list[i], list[j]) },
		func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// ascending is the order of numbers for [sortBy].
func ascending[T ~uint32 | ~int](a, b T) bool { return a < b }

// heapsort sorts what less and swap know by the indices 0 to n-1.
func heapsort(n int, less func(i, j int) bool, swap func(i, j int)) {
	for root := n/2 - 1; root >= 0; root-- {
		siftDown(root, n, less, swap)
	}
	for end := n - 1; end > 0; end-- {
		swap(0, end)
		siftDown(0, end, less, swap)
	}
}

// siftDown moves the element at root down the max-heap of the first n until none below it
// is greater.
func siftDown(root, n int, less func(i, j int) bool, swap func(i, j int)) {
	for child := 2*root + 1; child < n; child = 2*root + 1 {
		if child+1 < n && less(child, child+1) {
			child++
		}
		if !less(root, child) {
			return
		}
		swap(root, child)
		root = child
	}
}
