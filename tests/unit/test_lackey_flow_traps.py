"""Data flow's traps: what the log and the disassembly say apart from each other; regions; one test for each."""

import lzma
import time
from pathlib import Path

import pytest

from numasim.traces import parquet
from numasim.traces.code import images
from numasim.traces.readers import lackey, lackey_flow
from numasim.traces.records import ATOMIC, COUNT_OFF, COUNT_ON, LOAD, MARK, OP_BEGIN, OP_END, STORE
from unit.lackey_logs import Log, Row

LOAD_RAX_RDI, LOAD_RBX_RSI = "488b07", "488b1e"  # mov rax, [rdi]; mov rbx, [rsi]
STORE_RAX_RDI, RDI_FROM_RAX = "488907", "488b38"  # mov [rdi], rax; mov rdi, [rax]
DATA = Path(__file__).parents[1] / "data" / "lackey"


@pytest.fixture
def log() -> Log:
    return Log()


def needs(rows: list[Row]) -> list[tuple[tuple[int, int], ...]]:
    return [row.needs for row in rows]


def test_the_log_says_whether_memory_was_touched(log: Log, tmp_path: Path) -> None:
    log.ran("0f1f0400")  # nop [rax+rax]
    log.ran(LOAD_RAX_RDI)  # a load that the log does not have
    log.ran(LOAD_RBX_RSI, "L 1000,8")
    rows, _ = log.convert(tmp_path)
    assert len(rows) == 1


def test_prefetches_are_counted(log: Log, tmp_path: Path) -> None:
    for _ in range(3):
        log.ran("0f1808")
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    rows, done = log.convert(tmp_path)
    assert (done.prefetches, len(rows), rows[0].insns) == (3, 1, 4)


def test_a_string_instructions_turns_are_joined_into_lines(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 9000,8")
    log.ran("4889c6")  # mov rsi, rax
    for i in range(150):
        log.ran("f3a4", f"L {0x1020 + i:x},1", f"S {0x2021 + i:x},1", at=0x402000)  # rep movsb
    log.ran("488b0e", "L 5000,8")  # mov rcx, [rsi]: its address went on from rax
    rows, done = log.convert(tmp_path)
    loads = [(row.address, row.size) for row in rows[1:-1] if row.kind == LOAD]
    stores = [(row.address, row.size) for row in rows if row.kind == STORE]
    assert loads == [(0x1020, 32), (0x1040, 64), (0x1080, 54)]
    assert stores == [(0x2021, 31), (0x2040, 64), (0x2080, 55)]
    assert sum(row.insns for row in rows) == 4 == done.instructions
    assert done.folded == 149
    assert (done.loads, done.stores, done.records) == (5, 3, 8), "what the file holds, not what the log does"
    assert all(row.needs for row in rows[1:]), "addresses come from rax, data from the loads"
    first_store = next(i for i, row in enumerate(rows) if row.kind == STORE)
    assert (first_store - 1 - (first_store - 1), 0) not in rows[first_store].needs
    assert (1, 0) in rows[first_store].needs, "what was loaded just before"


def test_a_string_instruction_that_goes_down(log: Log, tmp_path: Path) -> None:
    for i in range(20):
        log.ran("f348ab", f"S {0x2078 - 8 * i:x},8", at=0x402000)  # std; rep stosq
    rows, _ = log.convert(tmp_path)
    assert [(row.address, row.size) for row in rows] == [(0x2040, 64), (0x2000, 64), (0x1FE0, 32)]


def test_what_a_string_instruction_wrote_is_read_back(log: Log, tmp_path: Path) -> None:
    for i in range(100):
        log.ran("f3aa", f"S {0x2000 + i:x},1", at=0x402000)  # rep stosb
    log.ran(LOAD_RAX_RDI, "L 2003,1")
    log.ran(LOAD_RAX_RDI, "L 2050,1")
    rows, _ = log.convert(tmp_path)
    assert [row.fwd for row in rows] == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("f0480fc107", ["L 2000,8", "M 2000,8"]),  # lock xadd [rdi], rax
        ("f0480fb137", ["M 2000,8"]),  # lock cmpxchg [rdi], rsi
        ("488707", ["L 2000,8", "M 2000,8"]),  # xchg [rdi], rax
        ("f0480fb137", ["L 2000,8", "S 2000,8"]),
    ],
    ids=["xadd", "cmpxchg", "xchg", "apart"],
)
def test_a_locked_instruction_is_one_atomic(code: str, lines: list[str], log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran(code, *lines)
    log.ran(code, *lines)
    log.ran("488b18", "L 3000,8")  # mov rbx, [rax]
    rows, done = log.convert(tmp_path)
    assert [(row.kind, row.fwd) for row in rows] == [(LOAD, 0), (ATOMIC, 0), (ATOMIC, 1), (LOAD, 0)]
    assert rows[1].needs == ((1, 0),)
    assert rows[3].needs[-1][0] == 1, "what the atomic brought"
    assert (done.loads, done.stores, done.atomics) == (2, 0, 2)


def test_each_lane_of_a_gather_needs_the_indices(log: Log, tmp_path: Path) -> None:
    log.ran("c5fe6f0f", "L 1000,32")  # vmovdqu ymm1, [rdi]
    log.ran("c4e26d900488", *(f"L {0x2000 + 64 * i:x},4" for i in range(8)))  # vpgatherdd ymm0, [rax+ymm1*4], ymm2
    rows, _ = log.convert(tmp_path)
    assert needs(rows) == [(), *(((i, 1),) for i in range(1, 9))], "a vector takes a cycle more to load"
    assert [row.insns for row in rows] == [1, 1] + [0] * 7


def test_what_a_system_call_writes_depends_on_nothing(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran(STORE_RAX_RDI, "S 2000,8")
    log.ran("0f05")  # syscall
    log.ran(RDI_FROM_RAX, "L 3000,8")
    log.ran(LOAD_RBX_RSI, "L 2000,8")  # it may have written this
    rows, done = log.convert(tmp_path)
    assert needs(rows)[2:] == [(), ()]
    assert (rows[-1].fwd, done.system_calls) == (0, 1)


@pytest.mark.parametrize(("known", "dependence"), [(200, "exact"), (50, "unknown")])
def test_unknown_code_is_counted_and_too_much_of_it_said(known: int, dependence: str, log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran("90")
    del log.code[log.next - 1]
    log.ran(RDI_FROM_RAX, "L 2000,8")
    for _ in range(known):
        log.ran("90")
    rows, done = log.convert(tmp_path)
    assert done.unknown_code == 1
    assert needs(rows) == [(), ()], "what registers hold after unknown code is not known"
    assert parquet.Reader(tmp_path / "t.parquet").meta.dependence == dependence


def test_other_code_at_an_address_is_looked_at_anew(tmp_path: Path) -> None:
    log = Log()
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran("90", at=0x500000)
    first = dict(log.code)
    log.ran("31c0", at=0x500000)  # xor eax, eax
    log.ran(RDI_FROM_RAX, "L 2000,8")
    second, log.code = log.code, first
    log.forget = lambda: setattr(log, "code", second)  # type: ignore[method-assign]
    log.code[log.next - 3] = second[log.next - 3]
    rows, done = log.convert(tmp_path)
    assert needs(rows) == [(), ()]
    assert done.unknown_code == 0


def test_a_thread_that_accesses_nothing_is_none_of_the_traces(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.thread(2)
    log.ran("75f0")  # jne
    log.ran("90")
    _, done = log.convert(tmp_path)
    assert (done.threads, parquet.Reader(tmp_path / "t.parquet").meta.threads) == (1, [1])


# ---- the region of interest ----


def test_values_from_before_the_region_are_there(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.mark(0x00)
    log.ran(RDI_FROM_RAX, "L 2000,8")
    log.ran("488b07", "L 3000,8")  # mov rax, [rdi]
    log.mark(0x40)
    log.ran(RDI_FROM_RAX, "L 4000,8")
    log.mark(0x00)
    log.ran(RDI_FROM_RAX, "L 5000,8")
    rows, _ = log.convert(tmp_path)
    assert [row.address for row in rows] == [COUNT_ON, 0x2000, 0x3000, COUNT_OFF, COUNT_ON, 0x5000]
    assert needs(rows) == [(), (), ((1, 0),), (), (), ()]


def test_needs_are_counted_over_marks(log: Log, tmp_path: Path) -> None:
    log.mark(0x80)
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.mark(0x00)
    log.mark(0x48)
    log.ran(RDI_FROM_RAX, "L 2000,8")
    log.mark(0x50)
    rows, _ = log.convert(tmp_path)
    assert [row.address for row in rows if row.kind == MARK] == [COUNT_ON, OP_BEGIN, OP_END]
    assert rows[3].needs == ((3, 0),)


def test_only_one_stretch_counts(log: Log, tmp_path: Path) -> None:
    log.mark(0x00)
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    for stretch in (3, 4):
        log.mark(0x100 + 8 * stretch)
        log.ran(LOAD_RAX_RDI, f"L {stretch}000,8")
        log.mark(0x400 + 8 * stretch)
    rows, _ = log.convert(tmp_path, only=4)
    assert [row.address for row in rows] == [COUNT_ON, 0x4000, COUNT_OFF]
    with pytest.raises(lackey.UserError, match="no stretch '96'"):
        log.convert(tmp_path, only=96)
    with pytest.raises(lackey.UserError, match="no stretch 'find'"):
        log.convert(tmp_path, only="find")
    with pytest.raises(lackey.UserError, match="no memory access"):
        log.convert(tmp_path, only=5)


def test_a_recording_that_is_stopped_is_partial(log: Log, tmp_path: Path) -> None:
    for i in range(1000):
        log.ran(LOAD_RAX_RDI, f"L {i + 4096:x},8")
    asked = iter([False] * 3 + [True] * 100)
    rows, done = log.convert(tmp_path, stop=lambda: next(asked), buffer_bytes=200)
    meta = parquet.Reader(tmp_path / "t.parquet").meta
    assert meta.partial
    assert 0 < done.loads == len(rows) < 1000
    (tmp_path / "log").write_text("\n".join(log.lines)[:-3])
    lackey.convert(tmp_path / "log", tmp_path / "t.parquet", code=log, stop=lambda: True)  # cut short, as it may be
    log.convert(tmp_path)
    assert not parquet.Reader(tmp_path / "t.parquet").meta.partial


def test_plain_python_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = images.parse([f"{DATA / 'chains'}@0"])
    done = lackey.convert(DATA / "chains.lackey.xz", tmp_path / "t.parquet", code=files, only=2)
    compiled = (tmp_path / "t.parquet").read_bytes()
    monkeypatch.setattr(lackey_flow, "scan", getattr(lackey_flow.scan, "py_func", lackey_flow.scan))
    assert lackey.convert(DATA / "chains.lackey.xz", tmp_path / "t.parquet", code=files, only=2) == done
    assert (tmp_path / "t.parquet").read_bytes() == compiled


def test_a_million_instructions_a_cpu_second(tmp_path: Path) -> None:
    log = lzma.decompress((DATA / "chains.lackey.xz").read_bytes())
    lines = b"".join(line for line in log.splitlines(True) if b" S a00000" not in line)  # all of it, without markers
    (tmp_path / "log").write_bytes(lines * 20)
    for _ in range(2):  # the first compiles, or loads what was compiled
        start = time.process_time()
        done = lackey.convert(tmp_path / "log", tmp_path / "t.parquet", code=images.parse([f"{DATA / 'chains'}@0"]))
        rate = done.instructions / (time.process_time() - start)
    print(f"{rate / 1e6:.1f} M instructions a CPU second")
    assert rate > 1e6
