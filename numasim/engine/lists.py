"""Lists without memory of their own: next[] links the members in a ring, a list is its tail (-1: empty)."""

from typing import Any

from numasim.engine.jit import kernel


@kernel
def push(nxt: Any, tail: int, x: int) -> int:
    """Append x: the new tail."""
    if tail < 0:
        nxt[x] = x
    else:
        nxt[x] = nxt[tail]
        nxt[tail] = x
    return x


@kernel
def pop(nxt: Any, tail: int) -> tuple[int, int]:
    """Remove the first member: (it, the new tail)."""
    x = nxt[tail]
    if x == tail:
        return x, -1
    nxt[tail] = nxt[x]
    return x, tail


@kernel
def take(nxt: Any, tail: int, before: int) -> int:
    """Remove the member after `before`: the new tail."""
    x = nxt[before]
    if x == before:
        return -1
    nxt[before] = nxt[x]
    return before if x == tail else tail
