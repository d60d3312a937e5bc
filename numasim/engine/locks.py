"""Locks: who holds one, who waits for it. A thread waits in the order in which its atomic came to the line."""

from typing import Any

from numasim.engine.jit import kernel, rare
from numasim.engine.lists import pop, push
from numasim.engine.state import SLOT_SHIFT


@kernel
def lock_of(sync: Any, va: int) -> int:
    """Number of the lock at an address."""
    key = (va >> 3) + 1
    k = (va >> 6) & sync.mask
    while sync.key[k] != 0 and sync.key[k] != key:
        k = k + 1 & sync.mask
    sync.key[k] = key
    return k


@rare
def take_lock(sync: Any, nxt: Any, a: int, t: int, va: int) -> bool:
    """A thread has the lock's line: does it get the lock? Else it waits for its turn."""
    k = lock_of(sync, va)
    if sync.holder[k] == 0 or sync.holder[k] == t + 1:
        sync.holder[k] = t + 1
        return True
    sync.waiting[k] = push(nxt, sync.waiting[k], a)
    return False


@rare
def free_lock(sync: Any, nxt: Any, threads: Any, va: int) -> int:
    """The lock is given to the slot that has waited longest, which is returned; -1 for none."""
    k = lock_of(sync, va)
    sync.holder[k] = 0
    if sync.waiting[k] < 0:
        return -1
    a, sync.waiting[k] = pop(nxt, sync.waiting[k])
    sync.holder[k] = threads[a << SLOT_SHIFT] + 1
    return a
