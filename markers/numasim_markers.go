//go:build linux

// Marks a program for `numasim trace record`: what counts, operations, stretches. Copy it into your package and name
// that here. Each call is one 8-byte store into a page of its own; outside of a recording it does nothing else.
package main

import (
	"syscall"
	"unsafe"
)

var numasimPage uintptr = 0x0a0000000000

func init() {
	const readWrite, privateAnonymousFixed = 0x1 | 0x2, 0x02 | 0x20 | 0x10
	syscall.RawSyscall6(syscall.SYS_MMAP, numasimPage, 4096, readWrite, privateAnonymousFixed, ^uintptr(0), 0)
}

//go:noinline
func numasimMark(offset uintptr) {
	address := numasimPage + offset
	**(**uint64)(unsafe.Pointer(&address)) = 1
}

func NumasimWarmUp() { numasimMark(0x80) } // simulated from here, not counted
func NumasimCount()  { numasimMark(0x00) } // counted from here
func NumasimEnd()    { numasimMark(0x40) } // left out from here

// One look-up, one request: what is to have a latency of its own.
func NumasimOperationBegins() { numasimMark(0x48) }
func NumasimOperationEnds()   { numasimMark(0x50) }

// A stretch of the program that the results tell apart, by a number from 0 to 95.
func NumasimStretchBegins(id uint) { numasimMark(0x100 + 8*uintptr(id)) }
func NumasimStretchEnds(id uint)   { numasimMark(0x400 + 8*uintptr(id)) }
