// The graph of graph.c for Go: a tree of 64-byte nodes, each collection's stops told while a second
// goroutine writes whole pages of nodes, so many megabytes a second.
//
//	graph MEGABYTES CYCLES MB/s
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

type node struct {
	left, right *node
	payload     [6]uint64
}

var (
	root  *node
	pages [][]*node
	stop  int32
)

func build(count int, seen *int, run *[]*node) *node {
	if count == 0 {
		return nil
	}
	n := new(node)
	*run = append(*run, n)
	if *seen++; *seen%64 == 0 {
		pages = append(pages, *run)
		*run = make([]*node, 0, 64)
	}
	n.left = build((count-1)/2, seen, run)
	n.right = build(count-1-(count-1)/2, seen, run)
	return n
}

func write(rate float64) {
	start, written := time.Now(), 0.0
	for at := 0; atomic.LoadInt32(&stop) == 0; at = (at + 7919) % len(pages) {
		for _, n := range pages[at] {
			for i := range n.payload {
				n.payload[i]++
			}
		}
		written += 4096
		for atomic.LoadInt32(&stop) == 0 && written > time.Since(start).Seconds()*1e6*rate {
		}
	}
}

func main() {
	megabytes, _ := strconv.Atoi(os.Args[1])
	cycles, _ := strconv.Atoi(os.Args[2])
	rate, _ := strconv.ParseFloat(os.Args[3], 64)
	seen, run := 0, make([]*node, 0, 64)
	root = build(megabytes<<20/64, &seen, &run)
	debug.SetGCPercent(-1)
	go write(rate)
	var before, after runtime.MemStats
	for i := 0; i < cycles; i++ {
		time.Sleep(100 * time.Millisecond)
		runtime.ReadMemStats(&before)
		runtime.GC()
		runtime.ReadMemStats(&after)
		fmt.Printf("collected %.3f ms\n", float64(after.PauseTotalNs-before.PauseTotalNs)/1e6)
	}
	atomic.StoreInt32(&stop, 1)
	runtime.KeepAlive(root)
}
