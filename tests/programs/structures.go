// Look-ups and walks in Go's own structures.
//
//	structures map|list|pointers dependent|random ELEMENTS LOOKUPS
//
// map: of int64 to int64; dependent: the value found is the next key.  list: container/list.  pointers: a slice of
// pointers. Both walked in random order, LOOKUPS elements of them. The first half warms up.
package main

import (
	"container/list"
	"fmt"
	"math/rand"
	"os"
	"strconv"
)

type node struct{ value int64 }

//go:noinline
func dependent(m map[int64]int64, key int64, lookups int) int64 {
	for ; lookups > 0; lookups-- {
		key = m[key]
	}
	return key
}

//go:noinline
func independent(m map[int64]int64, keys []int64, lookups int) int64 {
	sum := int64(0)
	for i := 0; i < lookups; i++ {
		sum += m[keys[i%len(keys)]]
	}
	return sum
}

//go:noinline
func walkList(e *list.Element, l *list.List, lookups int) (sum int64) {
	for ; lookups > 0; lookups-- {
		sum += e.Value.(*node).value
		if e = e.Next(); e == nil {
			e = l.Front()
		}
	}
	return sum
}

//go:noinline
func walkPointers(nodes []*node, lookups int) (sum int64) {
	for i := 0; i < lookups; i++ {
		sum += nodes[i%len(nodes)].value
	}
	return sum
}

func main() {
	elements, _ := strconv.Atoi(os.Args[3])
	lookups, _ := strconv.Atoi(os.Args[4])
	random := rand.New(rand.NewSource(1))
	keys := make([]int64, elements)
	nodes := make([]*node, elements)
	for i := range keys {
		keys[i], nodes[i] = random.Int63(), &node{int64(i)}
	}
	random.Shuffle(elements, func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	m, l := map[int64]int64{}, list.New()
	for i, key := range keys {
		m[key] = keys[(i+1)%elements]
		l.PushBack(nodes[i])
	}
	all := func() int64 {
		switch {
		case os.Args[1] == "list":
			return walkList(l.Front(), l, lookups/2)
		case os.Args[1] == "pointers":
			return walkPointers(nodes, lookups/2)
		case os.Args[2] == "dependent":
			return dependent(m, keys[0], lookups/2)
		}
		return independent(m, keys, lookups/2)
	}
	NumasimWarmUp()
	sum := all()
	NumasimCount()
	sum += all()
	NumasimEnd()
	fmt.Println("check", sum)
}
