"""The region of interest of a lackey log, its operations and its named stretches: stores to the marker page."""

from collections.abc import Mapping

from numasim.traces import parquet
from numasim.traces.readers import lackey_scan as k
from numasim.traces.readers.lackey_kept import Kept
from numasim.traces.records import COUNT_OFF, COUNT_ON, OP_BEGIN, OP_END

WARM_UP, COUNT, END = 0x80, 0x0, 0x40  # offsets in the marker page lackey_scan.PAGE
OPERATIONS = {0x48: OP_BEGIN, 0x50: OP_END}
BEGINS, ENDS = 0x100, 0x400  # of stretch 0; 8 more for each
STRETCHES = 96


class Markers:
    """Follows the markers. where: "all" until one is seen, then "outside", "warm-up" or "counting".

    only: a stretch that alone counts, in place of what lies between the plain markers.
    """

    def __init__(self, kept: Kept, only: int | None) -> None:
        self.kept, self.only = kept, only
        self.where, self.begun = "all", False
        self.outside_since = self.counting_since = 0  # trace lines read, accesses kept, when that began
        self.counted = self.dropped_before = self.dropped_after = self.instructions_after = 0
        self._entries: dict[int, int] = {}
        self._totals: dict[int, list[int]] = {}  # by stretch: accesses, instructions
        self._open: dict[tuple[int, int], tuple[int, int]] = {}  # by thread and stretch: the thread's numbers then

    def store(self, offset: int) -> None:
        """A store to the marker page was read."""
        stretch = self._stretch(offset)
        if stretch is not None and stretch == self.only:
            offset = COUNT if offset < ENDS else END
        elif offset in (COUNT, END) and self.only is not None:
            return
        if offset in (WARM_UP, COUNT, END):
            self._region(offset)
        elif offset in OPERATIONS and self.kept.count(k.ON):
            self.kept.mark(OPERATIONS[offset])

    def _region(self, offset: int) -> None:
        """Begin or leave the region of interest."""
        where = {WARM_UP: "warm-up", COUNT: "counting", END: "outside"}[offset]
        if not self.begun and offset != END:
            self._forget()
        if where == self.where:
            return
        if self.where == "outside":
            self.dropped_after += self.kept.count(k.TRACED) - self.outside_since
            self.drop_pending()
        self._mark(where)
        if where == "outside" or self.where == "outside":
            self.kept.turn(where != "outside")
        self.where = where
        self.outside_since = self.kept.count(k.TRACED)

    def _forget(self) -> None:
        """The first beginning: drop what came before, be it that an end came first."""
        self.kept.restart()
        self.counted = 0
        self.dropped_before = self.outside_since = self.kept.count(k.TRACED)
        self.where, self.begun = "outside", True
        self._entries.clear()
        self._totals.clear()
        self._open = dict.fromkeys(self._open, (0, 0))
        for _, stretch in self._open:
            self._entries[stretch] = self._entries.get(stretch, 0) + 1

    def drop_pending(self) -> None:
        """Instructions that wait for a record of their thread will find none in this region."""
        self.instructions_after += int(self.kept.scan.pending.sum())
        self.kept.scan.pending[:] = 0

    def _mark(self, where: str) -> None:
        """A MARK record where counting begins, and where what began ends; it takes the instructions so far."""
        if where == "counting":
            self.counting_since = self.kept.accesses()
            self.kept.mark(COUNT_ON)
        elif self.where in ("all", "counting"):
            self.counted += self.kept.accesses() - self.counting_since
            if self.where == "counting":
                self.kept.mark(COUNT_OFF)

    def end(self) -> None:
        """The log has ended."""
        if self.only is not None and not self.begun:
            self.where = "outside"
        if self.where == "outside":
            self.dropped_after += self.kept.count(k.TRACED) - self.outside_since
        elif self.where != "warm-up":
            self.counted += self.kept.accesses() - self.counting_since

    # ---- stretches ----

    def _stretch(self, offset: int) -> int | None:
        """The stretch this offset begins or ends, noted; None if it is of no stretch."""
        begins = BEGINS <= offset < BEGINS + 8 * STRETCHES
        if offset % 8 or not (begins or ENDS <= offset < ENDS + 8 * STRETCHES):
            return None
        stretch = (offset - (BEGINS if begins else ENDS)) // 8
        key = (self.kept.count(k.THREAD), stretch)
        if not begins:
            self._close(key)
        elif key not in self._open:
            self._open[key] = self._numbers(key[0])
            self._entries[stretch] = self._entries.get(stretch, 0) + 1
        return stretch

    def _numbers(self, thread: int) -> tuple[int, int]:
        """Accesses and instructions of a thread that were kept."""
        return int(self.kept.scan.accesses[thread]), int(self.kept.scan.executed[thread])

    def _close(self, key: tuple[int, int]) -> None:
        if key in self._open:
            total = self._totals.setdefault(key[1], [0, 0])
            for i, (now, then) in enumerate(zip(self._numbers(key[0]), self._open.pop(key), strict=True)):
                total[i] += now - then

    def stretches(self, names: Mapping[int, str]) -> list[parquet.Stretch]:
        """What ran in each, by number; one that goes on at the log's end ends there. names: of those that have one."""
        for key in list(self._open):
            self._close(key)
        return [
            parquet.Stretch(n, names.get(n, f"stretch {n}"), self._entries[n], *self._totals[n])
            for n in sorted(self._entries)
        ]
