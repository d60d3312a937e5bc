"""The front end: records enter the reorder window in program order and execute when what they need is there.

A record waits for one thing at a time: it stands in the list of one record whose value is open, and looks for the next
when that comes. A record whose needs are all known executes at once, with its perhaps later time. Plain chains
(packed.py) are not looked into at all: nothing in a window of them can start early.
"""

from typing import Any

from numasim.engine.access import after_tick
from numasim.engine.jit import kernel, rare
from numasim.engine.lists import push
from numasim.engine.locks import await_token, post_token
from numasim.engine.ops import add, retire, retire_all
from numasim.engine.packed import (
    ADDRESS,
    CHAIN,
    CLASS,
    CLASS_MASK,
    DEPS,
    FWD,
    INSNS_MASK,
    KIND,
    KIND_MASK,
    LAGS,
    OP_END_BIT,
    TAKEN,
)
from numasim.engine.predictor import mispredicted
from numasim.engine.slots import wake_at
from numasim.engine.stacks import begin_counting, count
from numasim.engine.state import (
    ARRIVALS,
    C_COMPUTE,
    DONE,
    DRAIN,
    E_BRANCH,
    E_MISPREDICTED,
    K_CLASSES,
    K_COUNTING,
    K_ORIGIN,
    K_RUNNING,
    K_STARVED,
    NOBODY,
    OP_WORDS,
    PARTY,
    RING,
    WIN_SHIFT,
)
from numasim.engine.window import entry_of
from numasim.engine.wrong_path import go_astray, soonest
from numasim.traces.records import (
    AWAIT,
    BARRIER,
    BRANCH,
    COMPUTE,
    COUNT_OFF,
    COUNT_ON,
    LOCK,
    MARK,
    MAX_LAG,
    POST,
    UNLOCK,
    WAIT,
)

FEW = 256  # arrivals ahead that are too few
NO_INSNS = -(1 << 40)  # needs a place in the ring only


@kernel
def needs_met(m: Any, t: int, x: int) -> bool:
    """Are the values window entry x needs known? Then win.at is when; else it stands in the list of one that is not."""
    f, w = m.front, m.win
    word1, i = w.word1[x << WIN_SHIFT], w.number[x << WIN_SHIFT]
    deps, lags = word1 >> DEPS & 0xFFFFFF, word1 >> LAGS
    back = word1 >> FWD & 255
    while deps or back:
        d = deps & 255
        lag = (lags & 127) * m.p.cycle
        if deps == 0:  # last, the store whose data it reads
            d, lag, back = back, m.p.forward - m.p.l1, 0
        if d:
            y = entry_of(f, t, i - d)
            if i - d >= f.head[t]:  # else it has retired
                if w.comp[y << WIN_SHIFT] < 0:
                    w.waiters[y << WIN_SHIFT] = push(w.next, w.waiters[y << WIN_SHIFT], x)
                    return False
                w.at[x << WIN_SHIFT] = max(w.at[x << WIN_SHIFT], w.comp[y << WIN_SHIFT] + lag)
        deps >>= 8
        lags >>= 7
    return True


@kernel
def enter(m: Any, t: int, i: int, x: int, word0: int, word1: int, now: int) -> None:
    """Record i enters the window."""
    w = m.win
    w.comp[x << WIN_SHIFT] = -1
    w.waiters[x << WIN_SHIFT] = -1
    w.at[x << WIN_SHIFT] = now
    w.word0[x << WIN_SHIFT] = word0
    w.word1[x << WIN_SHIFT] = word1
    w.number[x << WIN_SHIFT] = i
    w.note[x << WIN_SHIFT] = m.front.stalled[t]
    w.insns[x << WIN_SHIFT] = m.front.insns[t]
    m.front.stalled[t] = 0
    m.front.insns[t] += word1 & INSNS_MASK
    m.front.open[t] += 1
    m.front.pos[t] = i + 1


@kernel
def make_room(m: Any, t: int, i: int, insns: int) -> bool:
    """Retire what is done until the record fits into the window. False: it has to wait for the oldest."""
    f, w = m.front, m.win
    h = f.head[t]
    fits = True
    while h < i:
        y = entry_of(f, t, h)
        if f.insns[t] + insns - w.insns[y << WIN_SHIFT] <= m.p.rob and i - h < RING - 1:
            break
        c = w.comp[y << WIN_SHIFT]
        if c < 0:
            f.wait[t] = h
            f.penalty[t] = 0
            fits = False
            break
        let_go(m, t, y, c)
        h += 1
    f.head[t] = h
    return fits


@kernel
def let_go(m: Any, t: int, y: int, c: int) -> None:
    """Window entry y, the oldest, whose value has been there since c, retires."""
    if m.front.ops[t]:
        retire(m.p, m.front, m.win, m.ops, m.out, m.control, t, y, c)
    else:
        m.front.retired[t] = max(m.front.retired[t], c)


@rare
def clear(m: Any, t: int, i: int, now: int) -> None:
    """Retire what has been done for so long that no lag hangs on it: there is place for what a wrong path looks at."""
    h, lag = m.front.head[t], max(MAX_LAG * m.p.cycle, m.p.forward)
    while h < i:
        y = entry_of(m.front, t, h)
        c = m.win.comp[y << WIN_SHIFT]
        if c < 0 or c + lag > now:
            break
        let_go(m, t, y, c)
        h += 1
    m.front.head[t] = h


@kernel
def drained(m: Any, t: int) -> bool:
    """Has everything of the thread ended? Else the front end is woken when it has."""
    if m.front.open[t] > 0 or m.front.flight[t] > 0:
        m.front.wait[t] = DRAIN
        return False
    return True


@rare
def meet(f: Any, sync: Any, control: Any, threads: int, t: int, number: int) -> bool:
    """Thread t comes to a barrier: is it the last one? Else it waits."""
    sync.arrived[number] += 1
    if sync.arrived[number] < sync.parties[number]:
        f.wait[t] = PARTY
        f.penalty[t] = number
        return False
    sync.arrived[number] = 0
    return True


@rare
def start_counting(f: Any, ops: Any, control: Any, threads: int, now: int) -> None:
    """All threads are warm: the clock of what counts starts."""
    control[K_ORIGIN] = now
    control[K_COUNTING] = 1
    for t in range(threads):
        f.started[t] = now
        f.begun[t] = now
        f.retired[t] = max(f.retired[t], now) if f.ops[t] else f.retired[t]
        f.op[t] = 0
        f.entered[t] = 0
        f.opening[t] = 1
        for k in range(OP_WORDS):
            ops.sum[t * OP_WORDS + k] = 0
            ops.begin[t * OP_WORDS + k] = 0


@rare
def party(m: Any, t: int, number: int, now: int) -> int:
    """A barrier: when the front end goes on, -1 if it waits. The last to come wakes the others."""
    f = m.front
    if not meet(f, m.sync, m.control, m.threads, t, number):
        return -1
    if number == 0 and m.control[K_COUNTING] == 0:
        begin_counting(m.out, m.links, m.dram, m.control[K_CLASSES], m.threads)
        start_counting(f, m.ops, m.control, m.threads, now)
    for other in range(m.threads):
        if f.wait[other] == PARTY and f.penalty[other] == number:
            f.wait[other] = NOBODY
            wake_at(m, m.fronts + other, now)
    return now


@rare
def special(m: Any, t: int, i: int, word0: int, word1: int, kind: int, now: int) -> int:
    """Marks, barriers, waits, tokens: when the front end acts next, -1 if it waits."""
    f, w = m.front, m.win
    code = word0 & ADDRESS
    fence = kind == BARRIER or kind == POST or (kind == MARK and (code == COUNT_ON or code == COUNT_OFF))
    if fence and not drained(m, t):
        return -1
    if not fence and not make_room(m, t, i, NO_INSNS):
        return -1
    if f.retired[t] > now and not fence:
        return f.retired[t]
    if fence:
        now = max(now, f.latest[t])
        if f.ops[t]:
            retire_all(m.p, f, w, m.ops, m.out, m.control, t)
            add(m.ops, t, C_COMPUTE, max(now - f.retired[t], 0))  # the drain of its stores
    if kind == MARK and code == COUNT_OFF:
        f.end[t] = i
        f.last[t] = 1
        return now
    x = entry_of(f, t, i)
    enter(m, t, i, x, word0, word1, now)
    if kind == AWAIT:
        return await_token(m, t, x, now)
    f.open[t] -= 1
    w.comp[x << WIN_SHIFT] = now
    f.opening[t] |= word0 >> OP_END_BIT & 1
    if fence:
        f.head[t] = i + 1
        f.retired[t] = max(f.retired[t], now)
        f.latest[t] = now
        if kind == POST:
            post_token(m, code, now)
            return now
        return party(m, t, 0 if kind == MARK else code + 1, now)
    if kind == WAIT:
        return now + code * m.p.cycle
    return now


@rare
def finish(m: Any, t: int, now: int) -> int:
    """The trace has ended: the thread is done once all it began has ended."""
    f = m.front
    if f.last[t] == 0:
        m.control[K_STARVED] = 1
        return now
    if not drained(m, t):
        return -1
    if f.ops[t]:
        retire_all(m.p, f, m.win, m.ops, m.out, m.control, t)
    f.wait[t] = DONE
    f.ended[t] = max(now, f.latest[t])
    if f.endless[t] == 0:
        m.control[K_RUNNING] -= 1
    return -1


@kernel
def guessed_wrong(m: Any, t: int, i: int, x: int, word0: int, met: bool, now: int) -> bool:
    """Branch i has entered the window, entry x: is it guessed wrong? Then the front end waits for it. met: are the
    values it needs known?"""
    f, core, klass = m.front, m.front.core[t], word0 >> CLASS & CLASS_MASK
    count(m.out, klass, E_BRANCH)
    tables, taken = m.core.predictor, word0 >> TAKEN & 1
    if not mispredicted(tables, m.core.history, core, m.p.predictor, m.p.predictor_bits, word0 & ADDRESS, taken):
        return False
    count(m.out, klass, E_MISPREDICTED)
    f.stalled[t] = 1
    f.wait[t] = i
    f.penalty[t] = m.p.refill
    if f.ops[t] != 3:  # what has not arrived yet cannot be begun
        clear(m, t, i, now)
        resolved = m.win.at[x << WIN_SHIFT] if met else now + soonest(m.p)
        go_astray(m, t, i, resolved, now + (m.win.word1[x << WIN_SHIFT] & INSNS_MASK) * f.slot[t])
    return True


@kernel
def dispatch(m: Any, t: int, now: int) -> int:
    """The front end takes its next record at `now`: when it acts next, -1 if it waits to be woken."""
    f, w = m.front, m.win
    i = f.pos[t]
    if i == f.end[t]:
        return finish(m, t, now)
    at = f.trace[t] + (i & f.mask[t])
    word0, word1 = m.word0[at], m.word1[at]
    insns = word1 & INSNS_MASK
    kind = word0 >> KIND & KIND_MASK
    resumed = after_tick(m, t, now)
    if resumed > now:
        return resumed
    x = entry_of(f, t, i - 1)
    before = w.comp[x << WIN_SHIFT]
    # a whole window of plain links: wait for the last record; if only that was open, this one takes its entry
    if word1 >> CHAIN & 1 and f.ops[t] == 0 and i > f.head[t] and (before < 0 or f.open[t] == 0):
        lag = (word1 >> LAGS & 127) * m.p.cycle
        if before < 0:
            f.wait[t] = i - 1
            f.penalty[t] = lag
            return -1
        start = max(now, before + lag)
        if start > now:
            return start
        f.shift[t] += 1
        f.head[t] = i
        enter(m, t, i, x, word0, word1, now)
        m.core.ready[f.core[t]] = push(w.next, m.core.ready[f.core[t]], x)
        return now + insns * f.slot[t]
    if f.ops[t] == 3 and f.opening[t] and m.control[K_COUNTING]:
        few = m.ops.known[t] - m.ops.passed[t] < FEW
        if few and m.ops.known[t] - f.op[t] < ARRIVALS - 2 * FEW:  # more arrivals are needed, and have room
            m.control[K_STARVED] = 1
            return now
        comes = f.started[t] + m.ops.arrivals[t * ARRIVALS + f.entered[t] % ARRIVALS]
        if comes > now:
            return comes
        f.entered[t] += 1
        f.opening[t] = 0
    if kind == BRANCH and i + RING > f.end[t] and f.last[t] == 0:  # a wrong path looks as far as a window reaches
        m.control[K_STARVED] = 1
        return now
    if kind >= MARK and kind != LOCK and kind != UNLOCK and kind != COMPUTE:
        return special(m, t, i, word0, word1, kind, now)
    if kind == UNLOCK and not drained(m, t):
        return -1
    if not make_room(m, t, i, insns):
        return -1
    if f.retired[t] > now:
        return f.retired[t]
    x = entry_of(f, t, i)
    enter(m, t, i, x, word0, word1, now)
    met = needs_met(m, t, x)
    if met:
        m.core.ready[f.core[t]] = push(w.next, m.core.ready[f.core[t]], x)
    if kind == BRANCH and guessed_wrong(m, t, i, x, word0, met, now):
        return -1
    if kind == LOCK:
        f.wait[t] = i
        f.penalty[t] = 0
        return -1
    return now + insns * f.slot[t]
