"""Traces become the engine's records: lap after lap, packed, in chunks, as the trace rings run empty."""

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.engine.build import BARRIERS, MAX_CLASSES
from numasim.engine.packed import CHAIN, INSNS_MASK, IS_ACCESS, NEEDED, WINDOW, pack
from numasim.engine.state import K_CLASSES
from numasim.errors import UserError
from numasim.traces.records import AWAIT, BARRIER, COUNT_ON, LOCK, MARK, OP_END, POST, UNLOCK, Records

Words = npt.NDArray[np.int64]
TILE = 1 << 16  # a short lap that is always the same is repeated to about so many records, and packed once
NO_REGION = -1
MARK_COUNT_ON = Records(np.array([COUNT_ON], np.int64), kind=MARK)


class Length(NamedTuple):
    """How long a thread runs: laps to warm up; then so many accesses or, where that is 0, laps."""

    warmup: int
    accesses: int
    laps: int


class Numbers(NamedTuple):
    """What is added to the numbers of a thread's barriers and tokens, so that those of several programs differ."""

    barriers: int = 0
    tokens: int = 0


class Packed(NamedTuple):
    """A stretch of packed records. counted: accesses up to and including each."""

    word0: Words
    word1: Words
    counted: Words
    ends: int  # laps that end in it, the last one with it (0: none)


class Classes:
    """Numbers for (group, call site, region): what latencies and events are counted under."""

    def __init__(self, block: Words, control: Words) -> None:
        self.keys: list[tuple[int, int, int]] = []
        self._block, self._control = block, control
        self._regions = int(np.where(block < 0, 0, block >> 2 & 0x3FFF).max(initial=0)) + 1
        self._tables: dict[int, Words] = {}

    def of(self, group: int, r: Records, access: npt.NDArray[np.bool_]) -> Words:
        """Class of each record (0-d: of all). access: which records have an address of data."""
        width = self._regions + 1
        table = self._tables.setdefault(group, np.full(256 * width, -1, np.int64))
        region: Words
        if self._regions == 1 or not access.any():
            region = np.where(access, 0, NO_REGION).astype(np.int64)
        else:
            blocks = np.where(access, r.address >> 21, 0)
            region = np.where(access, self._block[blocks] >> 2 & 0x3FFF, NO_REGION)
        key = np.asarray(np.asarray(r.site, np.int64) * width + region + 1)
        if (table[key] < 0).any():
            for k in np.unique(key[table[key] < 0]).tolist():
                table[k] = self._new(group, k // width, k % width - 1)
        return np.asarray(table[key])

    def _new(self, group: int, site: int, region: int) -> int:
        """A class for a new key; when they run out the last one takes all further ones."""
        if len(self.keys) < MAX_CLASSES:
            self.keys.append((group, site, region))
            self._control[K_CLASSES] = len(self.keys)
        return len(self.keys) - 1


class Feed:
    """One thread's trace as packed words, read piece by piece.

    program: a workloads.ThreadProgram (duck-typed). plain_ps: see `packed.pack`.
    `done` once all has been read; `accesses` read so far, `warm` of which lie before counting; `operations` begun.
    """

    def __init__(
        self,
        program: Any,
        group: int,
        length: Length,
        classes: Classes,
        plain_ps: tuple[int, int, int],
        numbers: Numbers,
    ) -> None:
        self._program, self._group, self._length = program, group, length
        self._classes, self._plain, self._numbers = classes, plain_ps, numbers
        self._pieces = self._run()
        self._word0 = self._word1 = np.zeros(0, np.int64)
        self.done = False
        self.accesses = self.warm = 0
        # a thread that synchronises with others must not stop halfway through a lap: they would wait for ever
        self._tokens = getattr(program, "tokens", 0)
        self._whole = bool(getattr(program, "barriers", ())) or self._tokens > 0

    def read(self, n: int) -> tuple[Words, Words]:
        """Up to n records, at least one unless done."""
        while len(self._word0) == 0 and not self.done:
            piece = next(self._pieces, None)
            if piece is None:
                self.done = True
            else:
                self._word0, self._word1 = piece.word0, piece.word1
        out = self._word0[:n], self._word1[:n]
        self._word0, self._word1 = self._word0[n:], self._word1[n:]
        return out

    def _run(self) -> Iterator[Packed]:
        """The whole trace: warm-up, the mark, what counts. A program with marks of its own runs its one lap."""
        length, program = self._length, self._program
        if getattr(program, "counts", False):
            yield from self._up_to(self._laps(0), 0, 1)
            return
        if length.warmup:
            yield from self._up_to(self._laps(0), 0, length.warmup)
        self.warm = self.accesses
        yield self._packed(MARK_COUNT_ON, 0)
        if program.endless:
            yield from self._up_to(self._laps(length.warmup), 0, 1 << 60)
        else:
            yield from self._up_to(self._laps(length.warmup), length.accesses, length.laps)

    def _up_to(self, laps: Iterator[Packed], accesses: int, n: int) -> Iterator[Packed]:
        """The first `accesses` accesses of these laps or, if that is 0, n laps."""
        left, ended = accesses, 0
        for piece in laps:
            size = int(piece.counted[-1]) if len(piece.counted) else 0
            if accesses and size >= left and not self._whole:
                stop = int(np.searchsorted(piece.counted, left, side="right"))  # with the mark that may follow
                self.accesses += left
                yield _cut(piece, stop)
                return
            if not accesses and piece.ends and ended + piece.ends > n:
                stop = len(piece.word0) // piece.ends * (n - ended)  # a tile: equal laps
                self.accesses += int(piece.counted[stop - 1])
                yield _cut(piece, stop)
                return
            left -= size
            ended += piece.ends
            self.accesses += size
            yield piece
            if (accesses and left <= 0 and piece.ends) or (not accesses and ended >= n):
                return

    def _laps(self, first: int) -> Iterator[Packed]:
        """Laps from number `first` on, for ever."""
        tile = self._tile()
        for lap in count(first):
            if tile:
                yield tile
                continue
            last = None
            for chunk in self._program.lap(lap):
                if last is not None:
                    yield self._packed(last, 0, lap)
                last = chunk
            if last is None:
                raise UserError("a lap without records", "workload", "at least one access a lap")
            yield self._packed(last, 1, lap)

    def _tile(self) -> Packed | None:
        """A short lap that is always the same, repeated and packed once; None if this one is not."""
        if not self._program.same or self._tokens or self._program.lap_accesses > TILE // 2:
            return None
        chunks = list(self._program.lap(0))
        if len(chunks) != 1 or len(chunks[0].address) > TILE // 2:
            return None
        n = len(chunks[0].address)
        times = TILE // n
        tile = self._packed(_repeat(chunks[0], times), times)
        if (times - 1) * n > WINDOW:  # it comes again and again, so chains go on over its end
            tile.word1[-n:] |= tile.word1[:n] & 1 << CHAIN
        return tile

    def _packed(self, r: Records, ends: int, lap: int = 0) -> Packed:
        n, kind = len(r.address), np.asarray(r.kind)
        access = np.asarray(IS_ACCESS[kind])
        r = self._numbered(r, n, kind)
        mark = np.asarray(kind == MARK)
        op_end = np.asarray(mark & (r.address == OP_END), np.int64) if mark.any() else 0
        word0, word1 = pack(r, self._classes.of(self._group, r, access), op_end, self._plain)
        if self._tokens:
            needed = word1 & INSNS_MASK | lap + 1 << NEEDED
            word1 = np.where(kind == AWAIT, needed, word1)
        counted = np.arange(1, n + 1) if kind.ndim == 0 and access else np.cumsum(np.broadcast_to(access, n))
        if not self._whole and bool(np.isin(kind, (LOCK, UNLOCK, BARRIER)).any()):
            self._whole = True
        return Packed(word0, word1, counted, ends)

    def _numbered(self, r: Records, n: int, kind: Any) -> Records:
        """The records with the numbers their barriers and tokens have in this run."""
        barrier, token = np.asarray(kind == BARRIER), np.asarray((kind == POST) | (kind == AWAIT))
        if barrier.any():
            r = r._replace(address=np.where(barrier, r.address + self._numbers.barriers, r.address))
            if int(r.address[np.broadcast_to(barrier, n)].max()) + 1 >= BARRIERS:
                raise UserError("too many barriers", "workload", f"at most {BARRIERS - 1} in all")
        if token.any():
            own = r.address[np.broadcast_to(token, n)]
            if own.min() < 0 or own.max() >= self._tokens:
                raise UserError(f"token {own.max()}", "workload", f"one of its {self._tokens}")
            r = r._replace(address=np.where(token, r.address + self._numbers.tokens, r.address))
        return r


def _cut(piece: Packed, stop: int) -> Packed:
    """The first `stop` records."""
    return Packed(piece.word0[:stop], piece.word1[:stop], piece.counted[:stop], 0)


def _repeat(r: Records, times: int) -> Records:
    """The same records so many times in a row."""
    return Records._make(np.tile(column, times) if np.ndim(column) else column for column in r)
