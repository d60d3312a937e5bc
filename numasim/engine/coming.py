"""Lines on their way from L2: found there, and entered in L1 at once, but not yet there for others who want them."""

from typing import Any

from numasim.engine.jit import rare
from numasim.engine.ops import own_stack
from numasim.engine.stacks import account_private, count
from numasim.engine.state import C_L2, E_JOIN, E_LOAD


@rare
def note_coming(o: Any, core: int, line: int, there: int) -> None:
    """A line has been found in L2 and will be in L1."""
    k = o.comes[2 * core]
    o.comes[2 * core] = k + 1 & 7
    o.comes[2 * core + 1] = max(o.comes[2 * core + 1], there)
    o.coming[core * 16 + 2 * k] = line
    o.coming[core * 16 + 2 * k + 1] = there


@rare
def when_there(coming: Any, core: int, line: int) -> int:
    """When a line that L1 shows already has come from L2, 0 if it was there."""
    there = 0
    for k in range(8):
        if coming[core * 16 + 2 * k] == line:
            there = max(there, coming[core * 16 + 2 * k + 1])
    return there


@rare
def hit_coming(m: Any, t: int, x: int, klass: int, at: int, ready: int, start: int, why: int, there: int) -> int:
    """A load finds its line on the way from L2: it has its value when the line is there."""
    m.front.hot[t] = 0
    count(m.out, klass, E_LOAD)
    count(m.out, klass, E_JOIN)
    account_private(m.out, m.win, x, klass, ready - at, why, start - ready, 0, C_L2, there - start)
    if m.front.ops[t]:
        own_stack(m.win.stack, x, ready - at, why, start - ready, 0, C_L2, there - start)
    return there
