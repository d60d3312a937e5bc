//! Marks a program for `numasim trace record`: what counts, operations, stretches. Linux; `mod numasim_markers;`, and
//! call `map_page()` first. Each call is one 8-byte store into a page of its own; outside of a recording no more.
#![allow(dead_code)]
use std::sync::atomic::{compiler_fence, Ordering::SeqCst};

const PAGE: usize = 0x0a00_0000_0000;

extern "C" {
    fn mmap(at: *mut u8, length: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut u8;
}

/// Call this before any other.
pub fn map_page() {
    let (read_write, private_anonymous_fixed) = (0x1 | 0x2, 0x02 | 0x20 | 0x10);
    let at = unsafe { mmap(PAGE as *mut u8, 4096, read_write, private_anonymous_fixed, -1, 0) };
    assert_eq!(at as usize, PAGE, "the page of the markers cannot be mapped");
}

fn mark(offset: usize) {
    compiler_fence(SeqCst); // the compiler moves nothing over the mark
    unsafe { ((PAGE + offset) as *mut u64).write_volatile(1) };
    compiler_fence(SeqCst);
}

#[rustfmt::skip] pub fn warm_up() { mark(0x80) } // simulated from here, not counted
#[rustfmt::skip] pub fn count() { mark(0x00) } // counted from here
#[rustfmt::skip] pub fn end() { mark(0x40) } // left out from here

// One look-up, one request: what is to have a latency of its own.
#[rustfmt::skip] pub fn operation_begins() { mark(0x48) }
#[rustfmt::skip] pub fn operation_ends() { mark(0x50) }

// A stretch of the program that the results tell apart, by a number from 0 to 95.
#[rustfmt::skip] pub fn stretch_begins(id: usize) { mark(0x100 + 8 * id) }
#[rustfmt::skip] pub fn stretch_ends(id: usize) { mark(0x400 + 8 * id) }
