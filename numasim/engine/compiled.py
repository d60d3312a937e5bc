"""The compiled scheduler: a loop over one int64 key an actor, (time << BITS | actor), smallest first.

An actor acts on while it is first of all, and hands on to the actor it wakes if that is the only one. The agenda
learns of it when another's turn comes. The order of events is that of the reference scheduler, event for event.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from numasim.engine.acts import settle, wait_for_link
from numasim.engine.arrival import arrive, complete, locked
from numasim.engine.chains import links
from numasim.engine.channel import choose, look_again, take_bus
from numasim.engine.core import dispatch
from numasim.engine.jit import CHECK, HAVE_NUMBA, entry, kernel, one_compiles, table, unfold
from numasim.engine.path import step
from numasim.engine.slots import AT_CORE, AT_L3, AT_OWN, wake_at
from numasim.engine.state import FEW, FEW_BITS, K_RUNNING, K_STARVED, SLOT_SHIFT, Array, Machine
from numasim.errors import UserError
from numasim.traces.records import ATOMIC, LOCK, UNLOCK


class Whole(NamedTuple):
    """What the loop works on."""

    machine: Machine
    tree: Array
    leaves: int


# Compiled apart for cores with few slots, with these numbers in it: to load them took 2 to 3 % of the time.
_few: Any = unfold(Whole, {"slot_bits": FEW_BITS, "slots": FEW}) if HAVE_NUMBA else None
_many: Any = unfold(Whole, {}) if HAVE_NUMBA else None

BITS = 16
MASK = (1 << BITS) - 1
NEVER = 1 << 62
END = NEVER >> BITS  # of simulated time, in ps: 70 s


@kernel
def schedule(tree: Any, n: int, a: int, t: int) -> None:
    """Actor a acts next at t (t < 0: not before somebody wakes it). tree is a tournament: tree[1] the smallest key."""
    key = t << BITS | a if t >= 0 else NEVER
    i = n + a
    tree[i] = key
    while i > 1:
        key = min(key, tree[i ^ 1])
        i >>= 1
        tree[i] = key


@kernel
def first_other(tree: Any, n: int, a: int) -> int:
    """The smallest key of all actors but a."""
    i, key = n + a, NEVER
    while i > 1:
        key = min(key, tree[i ^ 1])
        i >>= 1
    return key


@kernel
def act(m: Any, tree: Any, a: int, now: int, bound: int, budget: int) -> tuple[int, int, int]:
    """Actor a acts at `now`: (when it acts next or -1, how many events that were, what time it is then)."""
    s = m.slot
    if a >= m.channels or (a < m.fronts and AT_L3 <= s.stage[a << SLOT_SHIFT] < AT_CORE):
        slot, channel, when = a, -1, -1
        if a >= m.channels:
            slot, start, t = choose(m, a - m.channels, now)
        else:
            t, channel, when, start = step(m, a, now)
        if start >= 0:
            t = take_bus(m, slot, now, start)
            if slot != a:
                wake_at(m, slot, t)
                t = look_again(m, a - m.channels)
        if channel >= 0:
            wake_at(m, m.channels + channel, when)
        return t, 1, now
    goes_on, t, events, ended = -1, -1, 1, False
    if a >= m.fronts:
        thread = a - m.fronts
        core = m.front.core[thread]
        quiet = m.core.nfree[core] == m.core.slots and m.front.open[thread] == 0 and m.p.follows == 0
        quiet = quiet and m.core.comes[2 * core + 1] <= now  # else L1 shows lines that are still on their way from L2
        if m.front.hot[thread] and quiet and m.p.tick_every == 0 and m.front.ops[thread] == 0:
            events, now = links(m, thread, core, a, now, bound, BITS, budget)
            if now << BITS | a >= bound or events >= budget:
                return now, events, now
            events += 1
        t = dispatch(m, thread, now)
    else:
        thread = 0
        core = a >> m.core.slot_bits
        kind = s.kind[a << SLOT_SHIFT]
        if s.stage[a << SLOT_SHIFT] == AT_OWN or arrive(m, a, now):
            goes_on = a
        elif (kind == ATOMIC or kind == LOCK or kind == UNLOCK) and s.probe[a << SLOT_SHIFT] == 0:
            t = locked(m, a, now)
            ended = t == -1
        else:
            ended = True
        if ended:
            complete(m, a, now)
    settle(m, core, goes_on, now)
    if a >= m.fronts:
        t = wait_for_link(m, thread, t)
    return t, events, now


@kernel
def loop(m: Any, tree: Any, n: int, budget: int) -> int:
    """Run until about `budget` events have passed, a thread is out of records, or all are done."""
    events = 0
    while tree[1] != NEVER and events < budget and m.control[K_RUNNING] > 0:
        a, now = tree[1] & MASK, tree[1] >> BITS
        took = a  # the agenda still has it at its old time
        bound = 0  # with many cores a miss on its way seldom stays first of all
        if m.cores <= 4 or a >= m.fronts or not AT_L3 <= m.slot.stage[a << SLOT_SHIFT] < AT_CORE:
            bound = first_other(tree, n, a)
        while True:
            t, k, now = act(m, tree, a, now, bound, budget - events)
            events += k
            t = max(t, -1)
            if t < 0 and m.woken[0] == 1:  # only one thing goes on: hand on to it
                a, t = m.woken[1], m.when[1]
                m.woken[0] = 0
            else:
                for j in range(1, m.woken[0] + 1):
                    b = m.woken[j]
                    schedule(tree, n, b, m.when[j])
                    bound = min(bound, m.when[j] << BITS | b)
                    if b == took:
                        took = -1
                m.woken[0] = 0
            if t < 0 or t << BITS | a >= bound or events >= budget or m.control[K_STARVED]:
                break
            now = t
        if took >= 0 and took != a:
            schedule(tree, n, took, -1)
        if t >= 0 or took == a:
            schedule(tree, n, a, t)
        if m.control[K_STARVED]:
            break
    return events


@entry
def _run_table(numbers: Array, budget: int) -> int:
    both = _few(numbers)
    return loop(both.machine, both.tree, both.leaves, budget)


@entry
def _run_table_of_many(numbers: Array, budget: int) -> int:
    both = _many(numbers)
    return loop(both.machine, both.tree, both.leaves, budget)


@entry
def _run_checked(m: Machine, tree: Array, budget: int) -> int:
    return loop(m, tree, tree.size >> 1, budget)


def _compiled(m: Machine) -> Any:
    """Which of the loops runs a machine."""
    return _run_checked if CHECK else _run_table if m.core.slots == FEW else _run_table_of_many


def runner(m: Machine, tree: Array) -> Callable[[int], int]:
    """What runs at most about so many events; all state is in m and tree, so call it again to go on."""
    if CHECK or not HAVE_NUMBA:
        return lambda budget: int(_run_checked(m, tree, budget))
    whole = Whole(m, tree, tree.size >> 1)
    numbers, compiled = table(whole), _compiled(m)

    def run(budget: int, _alive: Whole = whole) -> int:  # the table has addresses only
        return int(compiled(numbers, budget))

    return run


def agenda(m: Machine) -> Array:
    """A tournament in which every front end acts at 0."""
    actors = m.channels + m.dram.all_channels
    n = 1 << (actors - 1).bit_length()
    if n > MASK + 1:
        raise UserError(
            f"{m.cores} cores and {m.threads} threads",
            "machine",
            f"fewer at once: {1 << m.core.slot_bits} a core, at most {MASK + 1}",
        )
    tree = np.full(2 * n, NEVER, np.int64)
    for t in range(m.threads):
        schedule(tree, n, m.fronts + t, 0)
    return tree


def warm_up(m: Machine) -> None:
    """Compile, or load from the disk cache; of several processes one compiles."""
    empty = np.full(2, NEVER, np.int64)
    with nullcontext() if getattr(_compiled(m), "signatures", True) else one_compiles():
        runner(m, empty)(0)
