"""What is kept of a lackey log: rows on their way to the file, and where the scan of its lines stands."""

from typing import Any

import numpy as np
import numpy.typing as npt

from numasim.traces import flow, handover, parquet
from numasim.traces.code import effects
from numasim.traces.code.decode import Decoder
from numasim.traces.code.images import Code
from numasim.traces.readers import lackey_flow
from numasim.traces.readers import lackey_scan as k
from numasim.traces.records import ATOMIC, AWAIT, MARK, MAX_BACK, POST


class Kept:
    """Rows and states of one conversion. flow, decoder: None without the program's code."""

    def __init__(self, writer: parquet.Writer, group_rows: int, code: Code | None) -> None:
        self.writer = writer
        self.scan = k.start_scan()
        self.rows = k.empty_rows(group_rows + k.SPARE + 2)
        self.decoder = Decoder(code) if code else None
        self.flow = flow.start(k.THREADS, self.decoder.table) if self.decoder else None
        self.handover = handover.start(k.THREADS if code else 0, code.machine if code else "x86_64")
        self.threads: set[int] = set()
        self._seen = [1]  # threads, in the order in which they came
        self._posts: dict[int, list[int]] = {}  # by thread: records after which posts were put in, of the last MAX_BACK

    def count(self, what: int) -> int:
        """One of the scan's numbers."""
        return int(self.scan.now[what])

    def flow_count(self, what: int) -> int:
        """One of the data flow's numbers, 0 without it."""
        return int(self.flow.counts[what]) if self.flow else 0

    def accesses(self) -> int:
        """Kept so far."""
        return self.count(k.LOADS) + self.count(k.STORES) + self.flow_count(flow.ATOMICS)

    def take(self, text: npt.NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
        """Scan lines: why that stopped, and where."""
        if self.flow is None:
            return k.scan(text, at, end, self.scan, self.rows)
        while True:
            why, at = lackey_flow.scan(
                text, at, end, self.scan, self.rows, self.flow, self.handover, max(self._seen) + 1
            )
            if why != lackey_flow.NEW_CODE:
                return why, at
            address, size, _ = k.parse(text, at)
            self.learn(address, size)

    def learn(self, address: int, size: int) -> None:
        """An instruction the flow does not know, or knows with another size: look at the code."""
        assert self.decoder and self.flow
        if flow.find(self.flow, address) >= 0:  # other code has come to this address
            self.decoder.code.forget()
        kind = self.decoder.kind(address, size)
        self.flow = flow.add_entry(self.flow, self.decoder.table, address, kind, size)

    def switch(self, thread: int) -> None:
        """Another thread's turn has come."""
        before, self.scan.now[k.THREAD] = self.count(k.THREAD), thread
        if self.flow is None or thread == before:
            return
        h, f = self.handover, self.flow
        opened = int(f.opened[before])
        asleep = opened >= 0 and bool(f.kinds[f.entry_kind[opened], effects.FLAGS] & effects.SYSCALL)
        handover.leave(h, before, self.count(k.LINES), asleep)
        new = thread not in self._seen
        if new:
            self._seen.append(thread)
        handover.come(h, thread, self._seen)
        if not self.count(k.ON):
            return
        if new and h.now[handover.MAKER]:
            self._await(thread, int(h.now[handover.MAKER]), int(h.now[handover.MADE_AT]))
        elif h.asleep[thread] and h.call[thread] == h.calls[3]:
            for other in self._seen:
                if h.ended[other] and h.ended_at[other] > h.slept[thread]:
                    self._await(thread, other, int(h.ended[other]))

    def _await(self, thread: int, other: int, number: int) -> None:
        """An AWAIT record of the thread that runs, for a record of another."""
        if self.count(k.ROWS) == len(self.rows.address):
            self.flush()
        token = handover.wait(self.handover, thread, other, number)
        if token >= 0 and self.flow:
            pending, self.scan.pending[thread] = int(self.scan.pending[thread]), 0  # stays for the next access
            k.put_mark(self.scan, self.rows, AWAIT, token)
            self.scan.pending[thread] = pending
            self.flow.number[thread] += 1

    def mark(self, code: int) -> None:
        """A MARK record of the thread that runs."""
        k.put_mark(self.scan, self.rows, MARK, code)
        if self.flow:
            self.flow.number[self.count(k.THREAD)] += 1

    def turn(self, on: bool) -> None:
        """The log goes on inside the region of interest, or outside: there nothing is followed."""
        self.scan.now[k.ON] = on
        if self.flow:
            for thread in self._seen:
                flow.forget(self.flow, thread)
            self.handover.now[handover.MAKER] = 0
            self.handover.ended[:] = 0
            self.handover.word[:] = -1
            self.handover.writer[: max(self._seen) + 1] = 0

    def restart(self) -> None:
        """Forget all that was kept; where the log is stays known, and so does the code."""
        self.writer.restart()
        self.threads.clear()
        old, self.scan = self.scan, k.start_scan()
        self.scan.code[:] = old.code
        for what in (k.THREAD, k.LINES, k.TRACED):
            self.scan.now[what] = old.now[what]
        if self.flow:
            entries = self.flow_count(flow.ENTRIES)
            self.turn(False)
            self.flow.counts[:] = 0
            self.flow.counts[flow.ENTRIES] = entries
            self.handover.now[handover.TOKENS] = self.handover.now[handover.WAITING] = 0
            self.handover.known[: max(self._seen) + 1] = 0
            self._posts.clear()

    def flush(self) -> None:
        """Hand the filled rows to the file."""
        full: dict[str, npt.NDArray[Any]]
        full = {name: column[: self.count(k.ROWS)] for name, column in self.rows._asdict().items()}
        if self.flow and (self._posts or self.handover.now[handover.WAITING]):
            full = self._with_posts(full)
        self.threads.update(np.unique(full["thread"][full["kind"] <= ATOMIC]).tolist())
        self.writer.write(parquet.Columns(**full))
        self.scan.now[k.ROWS] = 0
        if self.flow:
            self.flow.load_row[:] = self.flow.store_row[:] = -1

    def _with_posts(self, full: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The rows with the POST records that other threads wait for, and their needs counted over those."""
        assert self.flow
        h, thread = self.handover, full["thread"]
        posts = h.posts[: h.now[handover.WAITING]].copy()
        h.now[handover.WAITING] = 0
        at, after = handover.places(thread, self.flow.number, posts)
        for other, number in zip(posts[:, 0].tolist(), after.tolist(), strict=True):
            self._posts.setdefault(other, []).append(number)
        for other, put_in in list(self._posts.items()):
            mine = np.flatnonzero(thread == other)
            numbers = self.flow.number[other] - len(mine) + np.arange(len(mine))
            for name in ("dep0", "dep1", "dep2", "fwd"):
                full[name] = full[name].copy()
                full[name][mine] = handover.counted(full[name][mine], numbers, np.sort(put_in))
            kept = [n for n in put_in if n >= self.flow.number[other] - MAX_BACK]
            self._posts[other] = kept
            if not kept:
                del self._posts[other]
        put: dict[str, Any] = {"thread": posts[:, 0], "kind": POST, "address": posts[:, 2]}
        order = np.argsort(at, kind="stable")
        values = {name: np.broadcast_to(put.get(name, 0), len(at))[order] for name in full}
        return {name: np.insert(column, at[order], values[name]) for name, column in full.items()}
