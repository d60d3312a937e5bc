"""Accounting: an access's picoseconds by cause go into its latency's row, exactly."""

from typing import Any

from numasim.engine.jit import kernel, rare
from numasim.engine.spans import forget_spans, note_span
from numasim.engine.state import (
    ACCESSES,
    BUCKETS,
    C_FILL,
    C_OS,
    C_TLB,
    COUNT,
    EVENT_WORDS,
    SERIES,
    SLOT_SHIFT,
    WIN_SHIFT,
)
from numasim.engine.vectors import pour, width

MET_LAST_FIRST = 0x5E34012C789BA6D  # the causes in the order in which an access meets them (ops.MET), last first


@kernel
def bucket(ps: int) -> int:
    """Log bucket of a latency: 64 a power of two from 1024 ps up, all below in the first."""
    e = width(ps | 1) - 1
    return min(max((e - 10 << 6) + (ps >> max(e - 6, 0) & 63), 0), BUCKETS - 1) if e >= 10 else 0


@kernel
def count(out: Any, klass: int, event: int) -> None:
    """One event of a class."""
    out.events[klass * EVENT_WORDS + event] += 1


@rare
def new_high(out: Any, klass: int, latency: int, t: int, numbers: Any, at: int) -> None:
    """The slowest of a class so far."""
    out.high[klass] = latency
    out.slowest[klass] = numbers[at] << 14 | t


@kernel
def extremes(out: Any, klass: int, latency: int, t: int, numbers: Any, at: int) -> None:
    """Keep the smallest and largest latency of a class, and whose the largest is: record numbers[at] of thread t."""
    if latency < out.low[klass]:
        out.low[klass] = latency
    if latency > out.high[klass]:
        new_high(out, klass, latency, t, numbers, at)


@kernel
def account(out: Any, s: Any, a: int, end: int) -> None:
    """Slot a's access is done: its stack, whose last word is the count, is poured into its latency's row."""
    klass = s.klass[a << SLOT_SHIFT]
    latency = end - s.t0[a << SLOT_SHIFT]
    thread = s.thread[a << SLOT_SHIFT]
    extremes(out, klass, latency, thread, s.number, a << SLOT_SHIFT)
    if out.spans.what == ACCESSES:
        note_span(out.spans, thread, klass, end - latency, end)
    s.stack[(a << SLOT_SHIFT) + COUNT] = 1
    pour(out.rows, (klass * BUCKETS + bucket(latency)) * 16, s.stack, a << SLOT_SHIFT)


@kernel
def account_private(
    out: Any, w: Any, x: int, klass: int, waited: int, why: int, os: int, tlb: int, cause: int, rest: int
) -> None:
    """One access (window entry x) that ended in its own core's caches: time waited and why, interrupted, translation,
    the rest."""
    latency = waited + os + tlb + rest
    row = (klass * BUCKETS + bucket(latency)) * 16
    extremes(out, klass, latency, x >> 8, w.number, x << WIN_SHIFT)
    out.rows[row + COUNT] += 1
    out.rows[row + why] += waited
    out.rows[row + C_OS] += os
    out.rows[row + C_TLB] += tlb
    out.rows[row + cause] += rest


@rare
def note_join(snap: Any, x: int, stack: Any, a: int, t0: int, t: int, cause: int) -> None:
    """A load (window entry x) joins slot a's fill at t: note the fill's stack as of t. What the slot was charged in
    advance, beyond t, is taken from the causes it meets last; what it has not been charged yet is given to `cause`."""
    upto = t0
    for k in range(COUNT):
        snap[(x << 4) + k] = stack[(a << SLOT_SHIFT) + k]
        upto += stack[(a << SLOT_SHIFT) + k]
    left = upto - t
    if left < 0:
        snap[(x << 4) + cause] -= left
    order = MET_LAST_FIRST
    for _ in range(COUNT):
        k = order & 15
        order >>= 4
        part = min(max(left, 0), snap[(x << 4) + k])
        snap[(x << 4) + k] -= part
        left -= part
    if left > 0:  # it has waited since before the fill began
        snap[(x << 4) + C_FILL] -= left


@rare
def joined_stack(snap: Any, x: int, stack: Any, a: int) -> None:
    """The rest of the fill's causes, in place of the snapshot. A cause that would be negative is paid by the others."""
    debt = 0
    for k in range(COUNT):
        rest = stack[(a << SLOT_SHIFT) + k] - snap[(x << 4) + k]
        if rest < 0:
            debt -= rest
        snap[(x << 4) + k] = max(rest, 0)
    for k in range(COUNT - 1, -1, -1):
        pay = min(debt, snap[(x << 4) + k])
        debt -= pay
        snap[(x << 4) + k] -= pay


@rare
def account_joined(out: Any, w: Any, x: int, klass: int, latency: int) -> None:
    """A joined load is done, its stack being the snapshot."""
    row = (klass * BUCKETS + bucket(latency)) * 16
    extremes(out, klass, latency, x >> 8, w.number, x << WIN_SHIFT)
    for k in range(COUNT):
        out.rows[row + k] += w.stack[(x << 4) + k]
    out.rows[row + COUNT] += 1


@rare
def begin_counting(out: Any, links: Any, dram: Any, classes: int, threads: int) -> None:
    """Warm-up is over: all that was counted so far is forgotten."""
    for i in range(classes * BUCKETS * 16):
        out.rows[i] = 0
    for i in range(classes * EVENT_WORDS):
        out.events[i] = 0
    for i in range(classes):
        out.l1[i] = 0
        out.low[i] = 1 << 62
        out.high[i] = 0
        out.slowest[i] = -1
    forget_spans(out.spans, threads)
    for i in range(links.edges):
        links.messages[2 * i] = 0
        links.messages[2 * i + 1] = 0
        links.busy[i] = 0
    for i in range(links.resources * SERIES):
        links.series[i] = 0
    for i in range(2 * dram.all_channels):
        dram.busy[i] = 0
    for i in range(dram.all_traffic):
        dram.traffic[i] = 0
