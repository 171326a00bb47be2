// Command program does what needs the tables of the runtime: collects garbage under deep
// stacks, grows stacks, recovers from panics of every kind, defers, goroutines, finalisers.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	var m map[string]int
	var node *list
	for name, f := range map[string]func(){
		"index":     func() { _ = os.Args[len(os.Args)+1] },
		"nil":       func() { _ = node.next },
		"map":       func() { m["a"] = 1 },
		"assertion": func() { var v any = 1; _ = v.(string) },
		"own":       func() { panic(errors.New("own")) },
		"division":  func() { _ = 1 / len(m) },
		"deep":      func() { deep(10_000, func() { panic("deep") }) },
	} {
		if err := recovered(f); err == nil {
			fmt.Println("not recovered:", name)
		}
	}
	done := make(chan int)
	for i := range 20 {
		go func() { done <- churn(i) }()
	}
	sum := 0
	for range 20 {
		sum += <-done
	}
	_, file, line, _ := runtime.Caller(0)
	fmt.Println("sum", sum, "file", strings.HasSuffix(file, "main.go"), "line", line > 0)
}

type list struct {
	next *list
	data [64]byte
}

func recovered(f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	f()
	return nil
}

// deep grows the stack, with a pointer in every frame.
func deep(n int, f func()) int {
	if n == 0 {
		f()
		return 0
	}
	here := &list{}
	defer func() { here.data[0]++ }()
	return deep(n-1, f) + int(here.data[0]) + 1
}

// churn makes garbage and keeps some, while the collector runs.
func churn(i int) int {
	var kept *list
	for n := range 500 {
		l := &list{next: kept}
		if n%10 == 0 {
			kept = l
		}
		if n%100 == 0 {
			deep(100+i, runtime.GC)
		}
		_ = strings.Repeat("x", n)
	}
	n := 0
	for l := kept; l != nil; l = l.next {
		n++
	}
	return n
}
