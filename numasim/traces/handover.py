"""What one recorded thread waits for of another: where the replay, which runs them side by side, keeps their order.

A log is one order of all threads, chosen by valgrind's turns of 100,000 blocks. To keep all of it would replay one turn
after the other. Kept is what a thread cannot have gone on without:

- a word it loaded again and again, or read before it slept in a system call, and another wrote in between (a futex);
- a word of atomics that only one thread has written, and last by storing (xchg, a store), that another loads (a flag);
- its beginning, for which it waits on the system call that made it, and the end of a thread that it slept for.

Not kept: the order of atomic operations such as counting, or the taking of a lock that is free: they may come in
another order, and contend, as they would on the machine. Each wait is an AWAIT record before the reader's, and a POST
record of the same token after the writer's. A thread that already waited for later records of the other waits no more.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.compiled import inlined
from numasim.traces.records import MAX_BACK

Ints = npt.NDArray[np.int64]

LOOKS = 16  # last words a thread loaded, of each at most one entry
WORDS = 1 << 14  # words of atomics, by hash: of two that collide the later one is known
BITS = 1 << 16
POSTS = 1 << 12  # waits in a row group

# numbers of Handover.now
TOKENS, WAITING, MAKER, MADE_AT = range(4)  # waits so far, and in this row group; who made a thread last, and when

# system calls by number: Linux's tables for x86-64 and aarch64 (arch/x86/entry/syscalls/syscall_64.tbl,
# include/uapi/asm-generic/unistd.h)
CALLS = {
    "x86_64": {"register": 0, "clone": 56, "clone3": 435, "futex": 202, "exit": 60},
    "aarch64": {"register": 8, "clone": 220, "clone3": 435, "futex": 98, "exit": 93},
}


class Handover(NamedTuple):
    """Arrays by thread are [threads, ...].

    A word has 8 bytes; a mask of 8 bits says which.
    now: the numbers named above.  calls [5]: the register that holds a system call's number, then clone, clone3, futex,
    exit.  looked, loaded, read [threads, LOOKS], looks: the words read last, `looks` of them so far; the masks of what
    loads, and what loads and atomics read of them.  watched, of, writer, wrote [threads, LOOKS]: while another runs,
    those words and masks, and who wrote them since: thread and record; 0: nobody.  bit [BITS]: some watched word has
    this hash.  left: loads until a thread that runs again is not looked at any more.  asleep: it gave up its turn in a
    system call.  constant [threads, 32]: what a register holds, if that is a constant; else -1.  call: that of the
    register of system calls, when it made the last one.  slept: line at which its turn ended.  ended, ended_at: record
    and line of its exit(), 0: not yet.  known [threads, threads]: the last record of the second that the first has
    waited for.  word, owner, record, mask, shared, stored [WORDS]: words of atomics, who wrote them last, with which
    record, which bytes; whether several did, and whether it was a store.  posts [POSTS, 3]: waits: thread, record,
    token.
    """

    now: Ints
    calls: Ints
    looked: Ints
    loaded: npt.NDArray[np.uint8]
    read: npt.NDArray[np.uint8]
    looks: Ints
    watched: Ints
    of: npt.NDArray[np.uint8]
    writer: Ints
    wrote: Ints
    bit: npt.NDArray[np.uint8]
    left: Ints
    asleep: npt.NDArray[np.uint8]
    constant: Ints
    call: Ints
    slept: Ints
    ended: Ints
    ended_at: Ints
    known: Ints
    word: Ints
    owner: Ints
    record: Ints
    mask: npt.NDArray[np.uint8]
    shared: npt.NDArray[np.uint8]
    stored: npt.NDArray[np.uint8]
    posts: Ints


def start(threads: int, machine: str) -> Handover:
    """One thread, which waits for nobody. Memory is touched for those threads only that run."""
    looks = (threads, LOOKS)
    return Handover(
        now=np.zeros(4, np.int64),
        calls=np.array(list(CALLS[machine].values()), np.int64),
        looked=np.full(looks, -1, np.int64),
        loaded=np.zeros(looks, np.uint8),
        read=np.zeros(looks, np.uint8),
        looks=np.zeros(threads, np.int64),
        watched=np.full(looks, -1, np.int64),
        of=np.zeros(looks, np.uint8),
        writer=np.zeros(looks, np.int64),
        wrote=np.zeros(looks, np.int64),
        bit=np.zeros(BITS, np.uint8),
        left=np.zeros(threads, np.int64),
        asleep=np.zeros(threads, np.uint8),
        constant=np.zeros((threads, 32), np.int64),
        call=np.zeros(threads, np.int64),
        slept=np.zeros(threads, np.int64),
        ended=np.zeros(threads, np.int64),
        ended_at=np.zeros(threads, np.int64),
        known=np.zeros((threads, threads), np.int64),
        word=np.full(WORDS, -1, np.int64),
        owner=np.zeros(WORDS, np.int64),
        record=np.zeros(WORDS, np.int64),
        mask=np.zeros(WORDS, np.uint8),
        shared=np.zeros(WORDS, np.uint8),
        stored=np.zeros(WORDS, np.uint8),
        posts=np.zeros((POSTS, 3), np.int64),
    )


def leave(h: Handover, thread: int, line: int, asleep: bool) -> None:
    """Another thread's turn comes: what this one looked at last is watched."""
    h.watched[thread], h.of[thread] = h.looked[thread], (h.read if asleep else h.loaded)[thread]
    h.writer[thread] = 0
    h.left[thread] = LOOKS
    h.asleep[thread] = asleep
    h.slept[thread] = line


def come(h: Handover, thread: int, threads: list[int]) -> None:
    """A thread's turn comes: the others' words are watched from now on."""
    h.bit[:] = 0
    words = h.watched[[t for t in threads if t != thread]]
    h.bit[words[words >= 0] & (BITS - 1)] = 1


@inlined
def slot(word: int) -> int:
    """Where in the table of atomics' words a word is."""
    return (word ^ word >> 14) & (WORDS - 1)


@inlined
def mask_of(address: int, size: int) -> int:
    """Which bytes of the access's first word it touches."""
    low = address & 7
    return (0xFF << low & 0xFF) & (0xFF >> (8 - min(low + size, 8)))


@inlined
def looks_at(h: Handover, t: int, address: int, size: int, atomic: bool) -> int:
    """Thread t reads some bytes: the place in `writer` and `wrote` of what it waited for, LOOKS for the writer in the
    table of atomics' words, -1 if it waited for nothing."""
    found, word, mask = -1, address >> 3, mask_of(address, size)
    if h.left[t] > 0:
        h.left[t] -= 1
        for j in range(LOOKS):
            if h.watched[t, j] == word and h.of[t, j] & mask and h.writer[t, j] > 0 and (h.asleep[t] or not atomic):
                found = j
    i = slot(word)
    if found < 0 and not atomic and h.word[i] == word and h.mask[i] & mask and h.stored[i] and not h.shared[i]:
        found = LOOKS if h.owner[i] != t else -1
    last = (h.looks[t] - 1) % LOOKS
    if h.looked[t, last] != word:
        last = h.looks[t] % LOOKS
        h.looked[t, last], h.loaded[t, last], h.read[t, last] = word, 0, 0
        h.looks[t] += 1
    h.read[t, last] |= mask
    if not atomic:
        h.loaded[t, last] |= mask
    return found


@inlined
def writes(h: Handover, t: int, threads: int, address: int, size: int, number: int, atomic: bool, stored: bool) -> None:
    """Thread t writes some bytes with record `number`, stored: whatever was there before. threads: numbers in use are
    below."""
    word, mask = address >> 3, mask_of(address, size)
    i = slot(word)
    if h.word[i] == word:
        if h.owner[i] != t:
            h.shared[i] = 1
        h.owner[i], h.record[i], h.mask[i], h.stored[i] = t, number, mask, stored
    elif atomic:
        h.word[i], h.owner[i], h.record[i], h.mask[i], h.stored[i], h.shared[i] = word, t, number, mask, stored, 0
    if h.bit[word & (BITS - 1)]:
        for other in range(threads):
            if other != t and h.left[other] > 0:
                for j in range(LOOKS):
                    if h.watched[other, j] == word and h.of[other, j] & mask:
                        h.writer[other, j], h.wrote[other, j] = t, number


@inlined
def wait(h: Handover, t: int, other: int, number: int) -> int:
    """Thread t waits for record `number` of another: the token, -1 if it need not."""
    if other == t or number <= h.known[t, other] or h.now[WAITING] >= POSTS:
        return -1
    h.known[t, other] = number
    n, token = h.now[WAITING], h.now[TOKENS]
    h.posts[n, 0], h.posts[n, 1], h.posts[n, 2] = other, number, token
    h.now[WAITING] = n + 1
    h.now[TOKENS] = token + 1
    return int(token)


def places(thread: npt.NDArray[np.uint16], next_number: Ints, posts: Ints) -> tuple[Ints, Ints]:
    """Where posts go in a row group: for each (row before which it is put in, record of the thread after which).

    thread: of the rows.  next_number: of each thread's next record after the group.  posts [n, 3]. A record of an
    earlier group is taken as the one before the group's first.
    """
    at, after = np.zeros(len(posts), np.int64), np.zeros(len(posts), np.int64)
    for other in np.unique(posts[:, 0]).tolist():
        mine = np.flatnonzero(thread == other)
        chosen = posts[:, 0] == other
        first = next_number[other] - len(mine)
        after[chosen] = np.maximum(posts[chosen, 1], first - 1)
        index = after[chosen] - first
        at[chosen] = np.where(index >= 0, mine[np.minimum(index, len(mine) - 1)] + 1, 0) if len(mine) else 0
    return at, after


def counted(back: npt.NDArray[np.uint8], numbers: Ints, posts: Ints) -> npt.NDArray[np.uint8]:
    """How many records back, posts counted too; 0 where that is more than a record can say.

    back: before the posts were put in.  numbers: of the records, likewise.  posts: ascending, the records after which.
    """
    between = np.searchsorted(posts, numbers) - np.searchsorted(posts, numbers - back)
    further = np.where(back > 0, back + between, 0)
    return np.where(further > MAX_BACK, 0, further).astype(np.uint8)
