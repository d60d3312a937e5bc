"""Operations: a thread's time by cause, following its oldest unfinished record, as top-down CPI stacks do.

Records retire in order. From one retirement to the next the time belongs to the record that is then the oldest: before
its address was known to compute (or branch, right after a wrong guess), after that to its access's causes in the order
in which an access meets them. An operation's stack is the difference of the thread's sums between its begin and its
end, so it adds up exactly. Retirements are worked out when the window has moved on; that changes no time.
"""

from typing import Any

from numasim.engine.jit import kernel, rare
from numasim.engine.packed import ADDRESS, KIND, KIND_MASK, OP_END_BIT
from numasim.engine.spans import note_span
from numasim.engine.stacks import bucket
from numasim.engine.state import (
    ARRIVALS,
    BUCKETS,
    C_BRANCH,
    C_COMPUTE,
    C_IDLE,
    C_OS,
    C_TLB,
    COUNT,
    K_COUNTING,
    K_PROBLEM,
    OP_WORDS,
    OPERATIONS,
    RING,
    WIN_SHIFT,
)
from numasim.traces.records import ATOMIC, AWAIT, LOAD, LOCK, MARK, OP_BEGIN

# the order in which an access meets its causes, for the part of it that is left when it becomes the oldest:
# 5 fill_wait, 14 os, 3 split, 4 tlb_walk, 0 l1, 1 l2, 2 l3, 12 coherence, 7 link_wait, 8 link, 9 memory_wait,
# 11 refresh, 10 memory, 6 fabric, 13 lock_wait; four bits each, first met lowest
MET = 0xD6AB987C21043E5


@kernel
def own_stack(stack: Any, x: int, waited: int, why: int, os: int, tlb: int, cause: int, rest: int) -> None:
    """The stack of an access that ended in its core's caches, kept for its operation."""
    for k in range(16):
        stack[(x << 4) + k] = 0
    stack[(x << 4) + why] += waited
    stack[(x << 4) + C_OS] += os
    stack[(x << 4) + C_TLB] += tlb
    stack[(x << 4) + cause] += rest


@kernel
def add(ops: Any, t: int, cause: int, dt: int) -> None:
    """dt of the thread's time."""
    ops.sum[t * OP_WORDS + cause] += dt


@kernel
def ticked(p: Any, since: int) -> int:
    """How much of the time from the start of a tick on, `since` later, timer ticks have had."""
    return since // p.tick_every * p.tick_length + min(since % p.tick_every, p.tick_length)


@kernel
def add_gap(p: Any, f: Any, ops: Any, t: int, cause: int, now: int, upto: int) -> None:
    """From now to upto the thread computes, but for the timer ticks in between (access.after_tick)."""
    ticks = ticked(p, upto - f.phase[t]) - ticked(p, now - f.phase[t]) if p.tick_every > 0 else 0
    add(ops, t, C_OS, ticks)
    add(ops, t, cause, upto - now - ticks)


@rare
def advance(
    p: Any, f: Any, ops: Any, stack: Any, t: int, x: int, access: bool, at: int, gap_cause: int, idle: int, now: int,
    upto: int,
) -> None:  # fmt: skip
    """From now to upto window entry x is the thread's oldest record. Its address is known at `at`; before `idle`
    nothing had arrived."""
    if now < idle:
        add(ops, t, C_IDLE, min(idle, upto) - now)
        now = min(idle, upto)
    if now < at:
        add_gap(p, f, ops, t, gap_cause, now, min(at, upto))
        now = min(at, upto)
    if now >= upto:
        return
    if access:
        begun, order = at, MET
        for _ in range(COUNT):
            k = order & 15
            order >>= 4
            over = begun + stack[(x << 4) + k]
            lap = min(over, upto) - max(begun, now)
            if lap > 0:
                add(ops, t, k, lap)
            begun = over
        now = max(now, begun)
    if now < upto:
        add_gap(p, f, ops, t, C_COMPUTE, now, upto)


@rare
def end_operation(out: Any, ops: Any, t: int, group: int, begun: int, now: int) -> None:
    """The thread's operation has ended: its stack goes into its latency's row."""
    latency = now - begun
    row = (group * BUCKETS + bucket(latency)) * OP_WORDS
    for k in range(C_IDLE):
        out.op_rows[row + k] += ops.sum[t * OP_WORDS + k] - ops.begin[t * OP_WORDS + k]
    out.op_rows[row + C_IDLE] += 1
    if out.spans.what == OPERATIONS:
        note_span(out.spans, t, group, begun, now)
    if latency < out.op_low[group]:
        out.op_low[group] = latency
    if latency > out.op_high[group]:
        out.op_high[group] = latency


@rare
def begin_now(ops: Any, t: int) -> None:
    """What the thread's sums are as its next operation begins."""
    for k in range(OP_WORDS):
        ops.begin[t * OP_WORDS + k] = ops.sum[t * OP_WORDS + k]


@rare
def begin_at_arrival(ops: Any, t: int, op: int) -> None:
    """What they were when the operation that now ends arrived."""
    for k in range(OP_WORDS):
        ops.begin[t * OP_WORDS + k] = ops.snaps[(t * ARRIVALS + op % ARRIVALS) * OP_WORDS + k]


@rare
def retire(p: Any, f: Any, w: Any, ops: Any, out: Any, control: Any, t: int, x: int, end: int) -> None:
    """Window entry x, the thread's oldest, is done at `end` (which may lie before the one before it was)."""
    i = x << WIN_SHIFT
    kind = w.word0[i] >> KIND & KIND_MASK
    access = kind == LOAD or kind == ATOMIC or kind == LOCK or kind == AWAIT
    open_loop = f.ops[t] == 3 and control[K_COUNTING] != 0
    gap = C_BRANCH if w.note[i] & 1 else C_COMPUTE
    now = f.retired[t]
    idle = 0
    if open_loop:
        idle = f.started[t] + ops.arrivals[t * ARRIVALS + f.op[t] % ARRIVALS]
        while now < end:  # operations that arrive meanwhile note what the sums are then
            j = ops.passed[t]
            comes = f.started[t] + ops.arrivals[t * ARRIVALS + j % ARRIVALS]
            if j >= ops.known[t]:  # the front end asks for more while there is room (core.py)
                control[K_PROBLEM] = t + 1
                break
            if comes >= end:
                break
            if comes > now:
                advance(p, f, ops, w.stack, t, x, access, w.at[i], gap, idle, now, comes)
                now = comes
            for k in range(OP_WORDS):
                ops.snaps[(t * ARRIVALS + j % ARRIVALS) * OP_WORDS + k] = ops.sum[t * OP_WORDS + k]
            ops.passed[t] = j + 1
    if end > now:
        advance(p, f, ops, w.stack, t, x, access, w.at[i], gap, idle, now, end)
        now = end
    f.retired[t] = now
    if w.word0[i] >> OP_END_BIT & 1:
        if control[K_COUNTING]:
            if open_loop:
                begin_at_arrival(ops, t, f.op[t])
            end_operation(out, ops, t, f.group[t], idle if open_loop else f.begun[t], now)
        f.op[t] += 1
        f.begun[t] = now
        begin_now(ops, t)
    if kind == MARK and w.word0[i] & ADDRESS == OP_BEGIN:  # what came before, thinking say, is no part of it
        f.begun[t] = now
        begin_now(ops, t)


@rare
def retire_all(p: Any, f: Any, w: Any, ops: Any, out: Any, control: Any, t: int) -> None:
    """The window is drained: all its records retire."""
    while f.head[t] < f.pos[t]:
        x = t * RING + (f.head[t] - f.shift[t] & RING - 1)
        retire(p, f, w, ops, out, control, t, x, w.comp[x << WIN_SHIFT])
        f.head[t] += 1
