"""Which load needs which, from a log and the code: one test for each trap. (tests/unit/lackey_logs.py makes logs.)"""

from pathlib import Path

import pytest

from numasim.traces import parquet
from numasim.traces.flow import RING
from numasim.traces.records import BRANCH, LOAD, STORE
from unit.lackey_logs import Log, Row

LOAD_RAX_RDI, LOAD_RBX_RSI, LOAD_RCX = "488b07", "488b1e", "488b0cd8"  # mov rax,[rdi]; rbx,[rsi]; rcx,[rax+rbx*8]
STORE_RAX_RDI = "488907"  # mov [rdi], rax
RDI_FROM_RAX, RAX_FROM_RAX = "488b38", "488b00"  # mov rdi, [rax]; mov rax, [rax]


@pytest.fixture
def log() -> Log:
    return Log()


def needs(rows: list[Row]) -> list[tuple[tuple[int, int], ...]]:
    return [row.needs for row in rows]


# ---- registers ----


def test_a_load_needs_every_register_of_its_address(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran(LOAD_RBX_RSI, "L 2000,8")
    log.ran("490318", "L 3000,8")  # add rbx, [r8]
    log.ran("48c1e302")  # shl rbx, 2
    log.ran(LOAD_RCX, "L 4000,8")
    rows, done = log.convert(tmp_path)
    assert needs(rows) == [(), (), (), ((3, 0), (2, 2), (1, 2))]
    assert (done.exact, done.incomplete) == (True, 0)
    assert [row.insns for row in rows] == [1, 1, 1, 2]


def test_cycles_add_up_and_the_longer_way_counts(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran("480fafc0")  # imul rax, rax: 3
    log.ran("488d1c00")  # lea rbx, [rax+rax]: 1
    log.ran("48f7f3")  # div rbx: 15
    log.ran(LOAD_RCX, "L 4000,8")  # rax after 19 cycles, rbx after 4
    rows, _ = log.convert(tmp_path)
    assert needs(rows) == [(), ((1, 19),)]


def test_of_more_than_three_the_last_to_come_stay_and_that_is_counted(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RBX_RSI, "L 4000,8")
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran("490300", "L 2000,8")  # add rax, [r8]
    log.ran("490301", "L 3000,8")  # add rax, [r9]
    log.ran(LOAD_RCX, "L 5000,8")
    rows, done = log.convert(tmp_path)
    assert done.incomplete == 1
    assert rows[-1].needs == ((3, 2), (2, 2), (1, 1)), "rbx is there before the sum"


@pytest.mark.parametrize("count", [6, 7, 40])
def test_what_a_register_loses_is_counted_too(count: int, log: Log, tmp_path: Path) -> None:
    log.ran("31c0")  # xor eax, eax
    for i in range(count):
        log.ran("490300", f"L {0x2000 + 8 * i:x},8")  # add rax, [r8]
    log.ran(RDI_FROM_RAX, "L 5000,8")
    log.ran(RDI_FROM_RAX, "L 5000,8")
    rows, done = log.convert(tmp_path)
    assert done.incomplete == 2
    assert rows[-1].needs == ((count + 1, min(count, 127)), (count, count - 1), (count - 1, count - 2))


@pytest.mark.parametrize("code", ["31c0", "4829c0", "b800000000"], ids=["xor eax, eax", "sub rax, rax", "mov eax, 0"])
def test_a_cleared_register_depends_on_nothing(code: str, log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran(code)
    log.ran(RDI_FROM_RAX, "L 2000,8")
    assert needs(log.convert(tmp_path)[0]) == [(), ()]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("8a06", ((2, 1), (1, 0))),  # mov al, [rsi]: the rest of rax stays
        ("668b06", ((2, 1), (1, 0))),  # mov ax, [rsi]
        ("8b06", ((1, 0),)),  # mov eax, [rsi] clears the upper half
        ("0fb606", ((1, 0),)),  # movzx eax, byte [rsi]
    ],
)
def test_parts_of_a_register(code: str, expected: tuple[tuple[int, int], ...], log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran(code, "L 2000,1")
    log.ran(RDI_FROM_RAX, "L 3000,8")
    assert log.convert(tmp_path)[0][-1].needs == expected


def test_a_pointer_chase_is_one_chain(log: Log, tmp_path: Path) -> None:
    for i in range(600):
        log.ran(RAX_FROM_RAX, f"L {0x10000 + 64 * i:x},8", at=0x401000)
    rows, done = log.convert(tmp_path, group_rows=100)
    assert needs(rows) == [()] + [((1, 0),)] * 599
    assert done.ended == 0


@pytest.mark.parametrize(("between", "expected"), [(254, ((255, 0),)), (255, ())])
def test_a_load_255_records_back_is_reached_and_no_further(
    between: int, expected: tuple[tuple[int, int], ...], log: Log, tmp_path: Path
) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    for i in range(between):
        log.ran(LOAD_RBX_RSI, f"L {0x2000 + 8 * i:x},8", at=0x402000)
    log.ran(RDI_FROM_RAX, "L 9000,8")
    rows, done = log.convert(tmp_path, group_rows=64)
    assert rows[-1].needs == expected
    assert done.ended == int(not expected)


def test_threads_have_registers_of_their_own(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.thread(2)
    log.ran(RDI_FROM_RAX, "L 2000,8", at=0x500000)
    log.thread(1)
    log.ran(RDI_FROM_RAX, "L 3000,8", at=0x401003)
    rows, _ = log.convert(tmp_path)
    assert [(row.thread, row.needs) for row in rows] == [(1, ()), (2, ()), (1, ((1, 0),))]


# ---- memory ----


def test_what_was_stored_is_read_back(log: Log, tmp_path: Path) -> None:
    """A key that passes through the stack: load, store, load back, use."""
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran("48894424f8", "S 7ff8,8")  # mov [rsp-8], rax
    log.ran("488b5c24f8", "L 7ff8,8")  # mov rbx, [rsp-8]
    log.ran("488b03", "L 5000,8")  # mov rax, [rbx]
    rows, done = log.convert(tmp_path)
    assert [(row.kind, row.needs, row.fwd) for row in rows] == [
        (LOAD, (), 0),
        (STORE, ((1, 0),), 0),
        (LOAD, (), 1),
        (LOAD, ((1, 0),), 0),
    ]
    assert done.forwarded == 1


def test_a_store_needs_its_address_and_its_data(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran(LOAD_RBX_RSI, "L 2000,8")
    log.ran("488918", "S 3000,8")  # mov [rax], rbx
    assert log.convert(tmp_path)[0][-1].needs == ((2, 0), (1, 0))


@pytest.mark.parametrize(
    ("stores", "load", "fwd"),
    [
        (["S 1004,4"], "L 1000,8", 1),  # a part of it
        (["S 1000,4"], "L 1004,4", 0),  # the other half
        (["S 1007,2"], "L 1008,1", 1),  # over the end of a word
        (["S 1007,1"], "L 1008,1", 0),
        (["S 0ff8,64"], "L 1030,8", 1),
        (["S 0ff8,64"], "L 1038,8", 0),
        (["S 1000,8", "S 1000,8"], "L 1000,8", 1),  # the later one
        (["S 1000,8", "S 9000,8"], "L 1000,8", 2),
        (["S 1000,1"] * 3 + ["S 9000,8"] * 250, "L 1000,1", 251),
        (["S 1000,1"] + ["S 9000,8"] * 254, "L 1000,1", 255),
        (["S 1000,1"] + ["S 9000,8"] * 255, "L 1000,1", 0),
        (["S 1000,1"] + [f"S {0x9000 + 8 * i:x},8" for i in range(254)], "L 1000,1", 255),
        (["S 1000,1"] + [f"S {0x9000 + 32 * i:x},32" for i in range(RING // 4 - 2)], "L 1000,1", RING // 4 - 1),
    ],
)
def test_which_store_a_load_reads(stores: list[str], load: str, fwd: int, log: Log, tmp_path: Path) -> None:
    for store in stores:
        log.ran(STORE_RAX_RDI, store, at=0x401000)
    log.ran(LOAD_RBX_RSI, load)
    assert log.convert(tmp_path)[0][-1].fwd == fwd


def test_of_two_stores_a_load_waits_for_the_one_whose_data_comes_last(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 9000,8")
    log.ran("480fafc0")  # imul rax, rax
    log.ran("8907", "S 1000,4")  # mov [rdi], eax
    log.ran("c7470401000000", "S 1004,4")  # mov dword [rdi+4], 1
    log.ran(LOAD_RBX_RSI, "L 1000,16")
    assert log.convert(tmp_path)[0][-1].fwd == 2


def test_an_instruction_that_loads_and_stores(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran("480103", "M 2000,8")  # add [rbx], rax
    log.ran(LOAD_RBX_RSI, "L 2000,8")
    rows, done = log.convert(tmp_path)
    assert [(row.kind, row.needs, row.insns, row.fwd) for row in rows] == [
        (LOAD, (), 1, 0),
        (LOAD, (), 1, 0),
        (STORE, ((2, 1), (1, 1)), 0, 0),
        (LOAD, (), 1, 1),
    ]
    assert (done.loads, done.stores) == (3, 1)


def test_a_calls_return_address_is_not_what_it_loads(log: Log, tmp_path: Path) -> None:
    log.ran("ff5008", "L 1008,8", "S 7ff8,8")  # call [rax+8]
    log.ran("ff7008", "L 1008,8", "S 7ff0,8")  # push [rax+8]
    rows, done = log.convert(tmp_path)
    assert needs(rows) == [(), (), (), ((1, 0),)]
    assert done.indirect == 1


def test_an_access_over_64_bytes_is_cut(log: Log, tmp_path: Path) -> None:
    log.ran("0fae07", "S 1000,512")  # fxsave [rdi]
    rows, done = log.convert(tmp_path)
    assert [(row.address, row.size) for row in rows] == [(0x1000 + 64 * i, 64) for i in range(8)]
    assert done.stores == 8, "as many as `trace info` finds"


# ---- branches ----


def test_a_branch_has_its_outcome_and_the_loads_of_its_flags(log: Log, tmp_path: Path) -> None:
    log.ran(LOAD_RAX_RDI, "L 1000,8")
    log.ran("483903", "L 2000,8")  # cmp [rbx], rax
    branch = log.ran("75f0")  # jne
    log.ran("90")  # nop: not taken
    log.ran("7410")  # je
    log.ran(LOAD_RBX_RSI, "L 3000,8", at=0x401100)  # taken
    log.ran("75f0")  # its outcome is not in the log
    rows, done = log.convert(tmp_path)
    assert [row.kind for row in rows] == [LOAD, LOAD, BRANCH, BRANCH, LOAD]
    assert [(rows[i].taken, rows[i].needs, rows[i].insns) for i in (2, 3)] == [
        (0, ((2, 1), (1, 1)), 1),
        (1, ((3, 1), (2, 1)), 2),
    ]
    assert (rows[2].address, rows[2].size, rows[4].needs) == (branch, 0, ())
    assert (done.branches, done.taken) == (2, 1)
    assert parquet.Reader(tmp_path / "t.parquet").meta.sites[2] == f"{branch:#x}"


def test_inc_leaves_the_carry_flag(log: Log, tmp_path: Path) -> None:
    log.ran("483903", "L 2000,8")  # cmp [rbx], rax
    log.ran("48ffc1")  # inc rcx
    log.ran("72f0")  # jb: by the carry
    log.ran("75f0")  # jne: by inc's zero flag
    log.ran("90")
    rows, _ = log.convert(tmp_path)
    assert needs(rows) == [(), ((1, 1),), ()]


def test_jumps_calls_and_returns_are_no_branch_records(log: Log, tmp_path: Path) -> None:
    log.ran("eb00")
    log.ran("ffe0")  # jmp rax
    log.ran("c3", "L 7ff8,8")
    log.ran("90", at=0x402000)
    rows, done = log.convert(tmp_path)
    assert [row.kind for row in rows] == [LOAD]
    assert (done.branches, done.indirect) == (0, 1)
