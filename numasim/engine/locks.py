"""Who waits for whom. Locks: a thread waits in the order in which its atomic came to the line. Tokens: a thread that
awaits one goes on when it has been posted as often as there were laps."""

from typing import Any

from numasim.engine.jit import kernel, rare
from numasim.engine.lists import pop, push
from numasim.engine.packed import ADDRESS, NEEDED
from numasim.engine.slots import wake_at
from numasim.engine.state import C_LOCK, NOBODY, SLOT_SHIFT, WIN_SHIFT


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


@rare
def await_token(m: Any, t: int, x: int, now: int) -> int:
    """Thread t has come to an await (window entry x): when its front end goes on, -1 if it waits."""
    token = m.win.word0[x << WIN_SHIFT] & ADDRESS
    for k in range(16):
        m.win.stack[(x << 4) + k] = 0
    if m.sync.posted[token] < m.win.word1[x << WIN_SHIFT] >> NEEDED:
        m.sync.awaiting[token] = push(m.win.next, m.sync.awaiting[token], x)
        m.front.wait[t] = m.win.number[x << WIN_SHIFT]
        return -1
    m.win.comp[x << WIN_SHIFT] = now
    m.front.open[t] -= 1
    return now


@rare
def post_token(m: Any, token: int, now: int) -> None:
    """All before the post is done: those for whom it is the one they await go on, in the order in which they came."""
    sync, f, w = m.sync, m.front, m.win
    sync.posted[token] += 1
    last, x = sync.awaiting[token], -1
    while x != last:
        x, sync.awaiting[token] = pop(w.next, sync.awaiting[token])
        if sync.posted[token] < w.word1[x << WIN_SHIFT] >> NEEDED:
            sync.awaiting[token] = push(w.next, sync.awaiting[token], x)
            continue
        t = x >> 8
        w.comp[x << WIN_SHIFT] = now
        w.stack[(x << 4) + C_LOCK] = now - w.at[x << WIN_SHIFT]
        f.open[t] -= 1
        f.latest[t] = max(f.latest[t], now)
        f.wait[t] = NOBODY
        wake_at(m, m.fronts + t, now)
