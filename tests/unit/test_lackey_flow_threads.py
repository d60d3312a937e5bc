"""Which waits of one thread for another are kept, and that they change nothing else."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.traces.records import AWAIT, KINDS, LOAD, POST
from unit.lackey_logs import Log, Row

LOAD_RAX_RDI, STORE_RAX_RDI, XADD, XCHG, SYSCALL = "488b07", "488907", "f0480fc107", "488707", "0f05"
FUTEX, CLONE = "b8ca000000", "b838000000"  # mov eax, 202; 56
W, OTHER = "2000,8", "3000,8"


@pytest.fixture
def log() -> Log:
    return Log()


def told(rows: list[Row]) -> str:
    """Threads and kinds in order: "1 load, 2 await 0" ..."""
    return ", ".join(
        f"{row.thread} {KINDS[row.kind]}" + (f" {row.address}" if row.kind in (POST, AWAIT) else "") for row in rows
    )


def sleeps(log: Log) -> None:
    log.ran(FUTEX)
    log.ran(SYSCALL)


def test_who_sleeps_until_a_word_is_written_waits_for_the_write(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, f"L {W}")
    sleeps(log)
    log.thread(2)
    log.ran(STORE_RAX_RDI, f"S {W}")
    log.ran(STORE_RAX_RDI, f"S {OTHER}")
    log.thread(1)
    log.ran(LOAD_RAX_RDI, f"L {W}")
    rows, done = log.convert(tmp_path)
    assert told(rows) == "1 load, 2 store, 2 post 0, 2 store, 1 await 0, 1 load"
    assert done.waits == 1


def test_who_looks_again_and_again_waits(log: Log, tmp_path: Path) -> None:
    for _ in range(3):
        log.ran(LOAD_RAX_RDI, f"L {W}", at=0x401000)
    log.thread(2)
    log.ran(STORE_RAX_RDI, f"S {W}")
    log.thread(1)
    for _ in range(2):
        log.ran(LOAD_RAX_RDI, f"L {W}", at=0x401000)
    rows, _ = log.convert(tmp_path)
    assert told(rows) == "1 load, 1 load, 1 load, 2 store, 2 post 0, 1 await 0, 1 load, 1 load"


@pytest.mark.parametrize("write", ["2004,4", "2008,8", "1ff8,8"])
def test_other_bytes_are_not_waited_for(write: str, log: Log, tmp_path: Path) -> None:
    log.ran("8b07", "L 2000,4")
    sleeps(log)
    log.thread(2)
    log.ran(STORE_RAX_RDI, f"S {write}")
    log.thread(1)
    log.ran("8b07", "L 2000,4")
    assert told(log.convert(tmp_path)[0]) == "1 load, 2 store, 1 load"


def test_counting_together_needs_no_order(log: Log, tmp_path: Path) -> None:
    for turn in range(4):
        log.thread(1 + turn % 2)
        for _ in range(3):
            log.ran(XADD, f"L {W}", f"M {W}", at=0x401000)
    rows, done = log.convert(tmp_path)
    assert {row.kind for row in rows} == {KINDS.index("atomic")}
    assert done.waits == 0


def test_a_lock_that_was_slept_for_is_waited_for(log: Log, tmp_path: Path) -> None:
    log.ran(XCHG, f"L {W}", f"M {W}")
    log.thread(2)
    log.ran(XCHG, f"L {W}", f"M {W}")  # taken: sleeps
    sleeps(log)
    log.thread(1)
    log.ran(XCHG, f"L {W}", f"M {W}")  # let go, woken
    log.thread(2)
    log.ran(XCHG, f"L {W}", f"M {W}")
    rows, _ = log.convert(tmp_path)
    assert told(rows) == "1 atomic, 2 atomic, 1 atomic, 1 post 0, 2 await 0, 2 atomic"


@pytest.mark.parametrize(
    ("write", "lines", "expected"),
    [
        (XCHG, [f"L {W}", f"M {W}"], "2 atomic, 2 post 0, 1 await 0, 1 load"),  # a flag
        (XADD, [f"L {W}", f"M {W}"], "2 atomic, 1 load"),  # a count
        (STORE_RAX_RDI, [f"S {W}"], "2 store, 1 load"),  # data
    ],
)
def test_a_flag_that_is_set_before_it_is_looked_at(
    write: str, lines: list[str], expected: str, log: Log, tmp_path: Path
) -> None:
    log.thread(2)
    log.ran(write, *lines)
    log.thread(1)
    log.ran(LOAD_RAX_RDI, f"L {W}")
    assert told(log.convert(tmp_path)[0]) == expected


def test_a_flag_both_write_is_none(log: Log, tmp_path: Path) -> None:
    for thread in (2, 1, 2):
        log.thread(thread)
        log.ran(XCHG, f"L {W}", f"M {W}")
    log.thread(1)
    log.ran(LOAD_RAX_RDI, f"L {W}")
    assert told(log.convert(tmp_path)[0]) == "2 atomic, 1 atomic, 2 atomic, 1 load"


def test_one_wait_is_enough(log: Log, tmp_path: Path) -> None:
    log.thread(2)
    log.ran(XCHG, f"L {OTHER}", f"M {OTHER}")
    log.ran(XCHG, f"L {W}", f"M {W}")
    log.thread(1)
    log.ran(LOAD_RAX_RDI, f"L {W}")
    log.ran(LOAD_RAX_RDI, f"L {OTHER}")  # written before what was waited for
    rows, _ = log.convert(tmp_path)
    assert told(rows) == "2 atomic, 2 atomic, 2 post 0, 1 await 0, 1 load, 1 load"


def test_a_thread_begins_when_it_was_made_and_its_end_is_waited_for(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, f"L {W}")
    log.ran(CLONE)
    log.ran(SYSCALL)
    log.ran(LOAD_RAX_RDI, f"L {OTHER}")
    sleeps(log)
    log.thread(2)
    log.ran(LOAD_RAX_RDI, f"L {W}")
    log.ran("ba3c000000")  # mov edx, 60
    log.ran("89d0")  # mov eax, edx: as the C library does
    log.ran(SYSCALL)
    log.thread(1)
    log.ran(LOAD_RAX_RDI, f"L {OTHER}")
    rows, _ = log.convert(tmp_path)
    assert told(rows) == "1 load, 1 post 0, 1 load, 2 await 0, 2 load, 2 post 1, 1 await 1, 1 load"


@pytest.mark.parametrize("group_rows", [1, 2, 3, 1000])
def test_needs_are_counted_over_what_was_put_in(group_rows: int, log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, f"L {OTHER}")
    sleeps(log)
    log.thread(2)
    log.ran("488b00", "L 5000,8")  # mov rax, [rax]
    log.ran(STORE_RAX_RDI, f"S {OTHER}")
    log.ran("488b00", "L 6000,8")
    log.thread(1)
    log.ran(LOAD_RAX_RDI, f"L {OTHER}")
    log.thread(2)
    log.ran("488b00", "L 7000,8")
    rows, _ = log.convert(tmp_path, group_rows=group_rows)
    second = [row for row in rows if row.thread == 2]
    at = next(i for i, row in enumerate(second) if row.kind == POST)
    assert at >= 2, "after the store"
    loads = [i for i, row in enumerate(second) if row.kind == LOAD]
    assert [second[i].needs for i in loads] == [(), ((loads[1] - loads[0], 0),), ((loads[2] - loads[1], 0),)]
    assert told(rows).index("post") < told(rows).index("await")


parts = st.lists(
    st.one_of(
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["load", "next", "store", "xchg", "xadd", "sleep"]), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=60,
)


def written(program: list[tuple[str, int]], only: int = 0) -> Log:
    """Its log; only: of one thread's turns."""
    log, thread = Log(), 1
    for name, n in [("load", 0), *program]:
        if name == "turn":
            thread = n
        if only and thread != only:
            continue
        word = f"{0x2000 + 8 * n:x},8"
        match name:
            case "turn":
                log.thread(n)
            case "load":
                log.ran(LOAD_RAX_RDI, f"L {word}")
            case "next":
                log.ran("488b38", f"L {word}")  # mov rdi, [rax]
            case "store":
                log.ran(STORE_RAX_RDI, f"S {word}")
            case "xchg" | "xadd":
                log.ran(XCHG if name == "xchg" else XADD, f"L {word}", f"M {word}")
            case "sleep":
                sleeps(log)
    return log


def plain(rows: list[Row], thread: int) -> list[tuple[object, ...]]:
    """A thread's rows without posts and awaits, and their needs counted without them."""
    mine = [row for row in rows if row.thread == thread]
    number = {}
    kept: list[tuple[object, ...]] = []
    for i, row in enumerate(mine):
        if row.kind not in (POST, AWAIT):
            number[i] = len(kept)
            needs = [(len(kept) - number[i - back], lag) for back, lag in row.needs]
            fwd = len(kept) - number[i - row.fwd] if row.fwd else 0
            kept.append((row.kind, row.address, row.size, row.insns, needs, fwd))
    return kept


@settings(max_examples=150, deadline=None)
@given(parts, st.integers(1, 30))
def test_every_wait_ends_and_no_thread_is_changed(program: list[tuple[str, int]], group_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows, done = written(program).convert(Path(folder), group_rows=group_rows)
        alone = {
            thread: plain(written(program, thread).convert(Path(folder))[0], thread)
            for thread in sorted({row.thread for row in rows})
        }
    for thread, expected in alone.items():
        assert plain(rows, thread) == expected
    posted: dict[int, int] = {}
    awaited: dict[int, int] = {}
    for row in rows:
        if row.kind == POST:
            assert row.address not in posted
            posted[row.address] = row.thread
        elif row.kind == AWAIT:
            assert posted[row.address] != row.thread, "posted before, and by another: no wait is for ever"
            awaited[row.address] = row.thread
    assert posted.keys() == awaited.keys() == set(range(done.waits))
