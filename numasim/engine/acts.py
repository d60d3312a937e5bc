"""What an actor does in its core: the steps both schedulers take, one after the other, at an event."""

from typing import Any

from numasim.engine.access import execute
from numasim.engine.core import needs_met
from numasim.engine.jit import kernel
from numasim.engine.lists import pop, push
from numasim.engine.packed import CHAIN, LAGS
from numasim.engine.slots import wake_at
from numasim.engine.state import DRAIN, NOBODY, SLOT_SHIFT, WIN_SHIFT
from numasim.engine.window import entry_of


@kernel
def tell(m: Any, t: int, x: int, now: int) -> None:
    """Window entry x has its value: those who wait for it look on."""
    f, w = m.front, m.win
    core = f.core[t]
    while w.waiters[x << WIN_SHIFT] >= 0:
        y, w.waiters[x << WIN_SHIFT] = pop(w.next, w.waiters[x << WIN_SHIFT])
        if needs_met(m, t, y):
            m.core.ready[core] = push(w.next, m.core.ready[core], y)
    if f.wait[t] == w.number[x << WIN_SHIFT]:
        f.wait[t] = NOBODY
        wake_at(m, m.fronts + t, max(now, w.comp[x << WIN_SHIFT] + f.penalty[t]))
    elif f.wait[t] == DRAIN and f.open[t] == 0 and f.flight[t] == 0:
        f.wait[t] = NOBODY
        wake_at(m, m.fronts + t, max(now, f.latest[t]))


@kernel
def settle(m: Any, core: int, goes_on: int, now: int) -> None:
    """Execute what is ready in a core, and what becomes ready by that. First slot goes_on, if >= 0, in its walk."""
    o, f, w = m.core, m.front, m.win
    blocked = False
    while True:
        x, queued = -1, False
        if goes_on >= 0:
            t = m.slot.thread[goes_on << SLOT_SHIFT]
        elif o.ready[core] >= 0:
            x, o.ready[core] = pop(w.next, o.ready[core])
            t = x >> 8
        elif o.queue[core] >= 0 and not blocked and o.fills[core] > 0 and o.nfree[core] > 0:
            x, o.queue[core] = pop(w.next, o.queue[core])
            queued = True
            t = x >> 8
        else:
            break
        if x < 0 or w.comp[x << WIN_SHIFT] < 0:
            c = execute(m, t, x, goes_on, now)
            goes_on = -1
            if queued and o.queue[core] == x:
                blocked = True  # it still has to wait; the others behind it try at the next completion
            if x < 0 or c < 0:
                continue
            w.comp[x << WIN_SHIFT] = c
            f.open[t] -= 1
            f.latest[t] = max(f.latest[t], c)
        tell(m, t, x, now)


@kernel
def wait_for_link(m: Any, t: int, then: int) -> int:
    """The front end has just entered a link of a plain chain whose value is open, and the next record is one too: wait
    for it now rather than at `then`. When the front end acts next."""
    f, w = m.front, m.win
    i = f.pos[t]
    if then < 0 or f.wait[t] != NOBODY or i >= f.end[t] or f.open[t] != 1 or f.ops[t]:
        return then
    word1 = m.word1[f.trace[t] + (i & f.mask[t])]
    x = entry_of(f, t, i - 1)
    if word1 >> CHAIN & 1 == 0 or w.comp[x << WIN_SHIFT] >= 0 or w.number[x << WIN_SHIFT] != i - 1:
        return then
    f.wait[t] = i - 1
    f.penalty[t] = (word1 >> LAGS & 127) * m.p.cycle
    return -1
