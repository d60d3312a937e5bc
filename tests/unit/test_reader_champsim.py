"""Does the ChampSim reader make of a trace what a slow, obvious reader makes of it, and find a program's chains?"""

import gzip
import io
import lzma
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers import champsim, champsim_scan, drmemtrace
from numasim.traces.records import BRANCH, LOAD, STORE

DATA = Path(__file__).parents[1] / "data" / "traces"
SP, FLAGS, IP, VECTOR = 6, 25, 26, 91
AL, EAX, RAX = 27, 56, 10  # Pin's numbers


class Instruction(NamedTuple):
    ip: int
    written: tuple[int, ...] = ()
    read: tuple[int, ...] = ()
    stores: tuple[int, ...] = ()
    loads: tuple[int, ...] = ()
    is_branch: int = 0
    taken: int = 0


def packed(instructions: list[Instruction], form: str = "<Q2B2B4B2Q4Q") -> bytes:
    """As ChampSim's tracer writes them."""
    n = 2 if "2B4B2Q" in form else 4

    def some(items: tuple[int, ...], count: int) -> tuple[int, ...]:
        return (*items, *[0] * count)[:count]

    return b"".join(
        struct.pack(
            form,
            i.ip,
            i.is_branch,
            i.taken,
            *some(i.written, n),
            *some(i.read, 4),
            *some(i.stores, n),
            *some(i.loads, 4),
        )
        for i in instructions
    )


CLOUDSUITE = "<Q2B4B4B6x4Q4Q8x"


class Row(NamedTuple):
    kind: int
    site: str
    address: int
    size: int
    insns: int
    needs: tuple[tuple[int, int], ...]
    fwd: int
    taken: int


def naive(instructions: list[Instruction]) -> list[Row]:
    """Sets of (load: cycles) a register, all of them, cut only where a row is made."""
    rows: list[Row] = []
    carried: dict[int, dict[int, int]] = {}
    writers: dict[int, int] = {}
    waiting = 0

    def union(registers: list[int], cycles: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for register in registers:
            for load, lag in carried.get(register, {}).items():
                if len(rows) - load <= 255:
                    found[load] = max(found.get(load, 0), min(lag + cycles, 127))
        return found

    def row(i: Instruction, kind: int, address: int, needs: dict[int, int], taken: int = 0) -> None:
        nonlocal waiting
        near = sorted((load for load in needs if len(rows) - load <= 255), reverse=True)[:3]
        word = address >> 3
        fwd = len(rows) - writers[word] if kind == LOAD and word in writers and len(rows) - writers[word] <= 255 else 0
        if kind == STORE:
            writers[word] = len(rows)
        insns, waiting = min(waiting, 255), waiting - min(waiting, 255)
        told = tuple((len(rows) - load, needs[load]) for load in near)
        size = min(8, 64 - address % 64) if kind != BRANCH else 0
        rows.append(Row(kind, f"{i.ip:#x}", address, size, insns, told, fwd, taken))

    for i in instructions:
        waiting += 1
        read = [r for r in dict.fromkeys(i.read) if r]
        written = [r for r in dict.fromkeys(i.written) if r]
        wide = [r for r in read if r == FLAGS or r >= VECTOR]
        both = [r for r in read if r in written and FLAGS in written and r not in wide]
        data = wide + [r for r in both if any(o != r and o not in wide for o in read)] if i.loads else []
        inputs = union([r for r in read if r not in data and r != IP], 0)
        first = len(rows)
        for address in i.loads:
            row(i, LOAD, address, inputs)
        made = dict.fromkeys(range(first, len(rows)), 1) | union([r for r in data if r != IP], 1)
        result = made if i.loads else inputs
        for address in i.stores:
            row(i, STORE, address, result)
        if IP in written and IP in read and SP not in (*read, *written) and any(r not in (IP, SP) for r in read):
            row(i, BRANCH, i.ip, result, i.taken)
        more = -1 if i.loads and FLAGS not in written and not data else 0 if i.loads else 1
        for r in written:
            if r != IP and not (r == SP and SP in read and i.loads + i.stores):
                carried[r] = {load: min(max(lag + more, 0), 127) for load, lag in result.items()}
    return rows


def rows_of(path: Path) -> list[Row]:
    reader = parquet.Reader(path)
    found = []
    for chunk in reader.chunks():
        c = {name: np.asarray(column).tolist() for name, column in chunk._asdict().items()}
        for n in range(len(c["kind"])):
            needs = tuple((c[f"dep{k}"][n], c[f"lag{k}"][n]) for k in range(3) if c[f"dep{k}"][n])
            site = reader.meta.sites[c["site"][n]]
            found.append(
                Row(c["kind"][n], site, c["address"][n], c["size"][n], c["insns"][n], needs, c["fwd"][n], c["taken"][n])
            )
    return found


def convert(data: bytes, folder: Path, **options: Any) -> tuple[list[Row], Any]:
    (folder / "trace").write_bytes(data)
    done = champsim.convert(folder / "trace", folder / "t.parquet", **options)
    return rows_of(folder / "t.parquet"), done


registers = st.sampled_from([1, 2, 3, 10, 11, SP, FLAGS, IP, VECTOR, VECTOR + 1])
addresses = st.sampled_from([0x7FFE00001000 + 4 * i for i in range(6)] + [0x103D, 0x55550000FFF8])
instructions = st.builds(
    Instruction,
    st.integers(0x401000, 0x401008),
    st.lists(registers, max_size=2).map(tuple),
    st.lists(registers, max_size=4).map(tuple),
    st.lists(addresses, max_size=2).map(tuple),
    st.lists(addresses, max_size=4).map(tuple),
    st.integers(0, 1),
    st.integers(0, 1),
)
programs = st.lists(
    st.tuples(st.lists(instructions, min_size=1, max_size=6), st.integers(1, 60)), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(programs, st.sampled_from([1, 50, 999]), st.sampled_from([70, 300, 20000]), st.booleans())
def test_rows_are_those_of_the_naive_reader(
    parts: list[tuple[list[Instruction], int]], block: int, group_rows: int, cloudsuite: bool
) -> None:
    program = [i for part, times in parts for i in part * times]
    expected = naive(program)
    data = packed(program, CLOUDSUITE if cloudsuite else "<Q2B2B4B2Q4Q")
    options: dict[str, Any] = {"block": block, "group_rows": group_rows, "cloudsuite": cloudsuite}
    with tempfile.TemporaryDirectory() as folder:
        if not any(row.kind in (LOAD, STORE) for row in expected):
            with pytest.raises(UserError, match="no memory access"):
                convert(data, Path(folder), **options)
            return
        rows, done = convert(data, Path(folder), **options)
    assert rows == expected
    assert done.instructions == len(program) == sum(row.insns for row in rows) + done.counts["instructions_after"]
    assert [done.loads, done.stores, done.branches] == [
        sum(r.kind == kind for r in rows) for kind in (LOAD, STORE, BRANCH)
    ]


def test_the_loop_is_the_same_without_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = lzma.decompress((DATA / "walk.champsimtrace.xz").read_bytes())[: 64 * 400]
    compiled, _ = convert(data, tmp_path)
    monkeypatch.setattr(champsim_scan, "scan", champsim_scan.scan.py_func)  # type: ignore[attr-defined]
    plain, _ = convert(data, tmp_path)
    assert plain == compiled


def test_parts_of_a_register_are_the_register(tmp_path: Path) -> None:
    load, use = Instruction(0x40, (EAX,), (), (), (0x1000,)), Instruction(0x44, (11,), (RAX,), (), (0x2000,))
    into_al = Instruction(0x40, (AL,), (), (), (0x1000,))
    assert convert(packed([load, use]), tmp_path)[0][1].needs == ((1, 0),)
    assert convert(packed([into_al, use]), tmp_path)[0][1].needs == ((1, 0),)
    assert convert(packed([load, use]), tmp_path, pin=False)[0][1].needs == ()


def test_every_part_has_its_register() -> None:
    """Against the order of Pin's enumeration, told by names."""
    whole = {name: 3 + i for i, name in enumerate(["rdi", "rsi", "rbp", "rsp", "rbx", "rdx", "rcx", "rax"])}
    names = "al ah ax cl ch cx dl dh dx bl bh bx bp si di sp - - edi dil esi sil ebp bpl esp spl ebx edx ecx eax - -"
    for number, name in enumerate(names.split()):
        letters = {"a": "rax", "b": "rbx", "c": "rcx", "d": "rdx"}
        core = name.removeprefix("e") if len(name) == 3 else name
        full = next((w for w in whole if w[1:] == core[:2]), letters.get(core[0]) if core[-1] in "lhx" else None)
        if name != "-":
            assert champsim.PARTS[number] == whole[str(full)], name
    assert champsim.PARTS[-3:] == (18, 18, 18)  # r15b r15w r15d
    assert champsim.FIRST_PART + len(champsim.PARTS) == 83  # then REG_MM0


def longest(rows: list[Row]) -> int:
    """Loads on the longest chain."""
    depth: list[int] = []
    for n, row in enumerate(rows):
        before = [n - back for back, _ in row.needs] + ([n - row.fwd] if row.fwd else [])
        depth.append(max((depth[m] for m in before if m >= 0), default=0) + (row.kind == LOAD))
    return max(depth, default=0)


def test_chains_are_those_of_the_program(tmp_path: Path) -> None:
    """walk.c: 500 steps along a list; 500 look-ups by way of an index; 500 that wait for each other through memory."""
    champsim.convert(DATA / "walk.champsimtrace.xz", tmp_path / "t.parquet")
    rows = rows_of(tmp_path / "t.parquet")
    ends = [n + 1 for n, row in enumerate(rows) if row.kind == LOAD and row.address >= 0x1FFF000000]  # each `ret`
    assert len(ends) == 3
    walk, through, gather = rows[: ends[0] - 1], rows[ends[0] : ends[1] - 1], rows[ends[1] : ends[2] - 1]
    assert [sum(row.kind == LOAD for row in part) for part in (walk, through, gather)] == [500, 1001, 1000]
    assert longest(walk) == 500
    assert longest(gather) == 2
    assert longest(through) == 1001
    assert sum(row.kind == BRANCH and row.taken for row in walk) == 499
    assert [row.taken for row in walk if row.kind == BRANCH][:2] == [0, 1]


def test_registers_and_disassembly_agree(tmp_path: Path) -> None:
    """The same run as DynamoRIO shows it: there the data flow is another one, from the instructions' encodings."""
    champsim.convert(DATA / "walk.champsimtrace.xz", tmp_path / "registers.parquet")
    drmemtrace.convert(DATA / "walk.view.xz", tmp_path / "encodings.parquet")
    (one,), (other,) = (parquet.Reader(tmp_path / f"{name}.parquet").chunks() for name in ("registers", "encodings"))
    for name, mine, theirs in zip(one._fields, one, other, strict=True):
        assert np.array_equal(mine, theirs), name


def test_compressed_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed([Instruction(0x40, (3,), (4,), (), (0x1000,))] * 5)
    expected, _ = convert(data, tmp_path)
    assert convert(gzip.compress(data), tmp_path)[0] == expected
    assert convert(lzma.compress(data), tmp_path)[0] == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    champsim.convert("-", tmp_path / "t.parquet")
    assert rows_of(tmp_path / "t.parquet") == expected


GOOD = packed([Instruction(0x40, (3,), (4,), (), (0x1000,))])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (GOOD[:40], "trace: byte 0: 40 bytes at the end"),
        (GOOD * 3 + GOOD[:1], "trace: byte 192: 1 bytes at the end"),
        (b"I  0040,3\n" * 64, "trace: byte 0: no instruction"),
        (GOOD * 2 + bytes(64), "trace: byte 128: no instruction"),
        (GOOD * 2 + GOOD[:8] + b"\2" + GOOD[9:], "trace: byte 128: no instruction: 40 00 00 00 00 00 00 00 02"),
        (packed([Instruction(0x40, (3,), (4,))]), "no memory access"),
        (lzma.compress(GOOD * 1000)[:-20], "compressed data damaged or cut short"),
        (gzip.compress(GOOD * 1000, mtime=0)[:-20], "compressed data damaged or cut short"),
        (b"\xfd7zXZ\0" + bytes(100), "compressed data damaged or cut short"),
    ],
)
def test_what_is_no_trace_is_told_in_one_line(data: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        convert(data, tmp_path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


def test_a_folder_or_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="cannot be read"):
            champsim.convert(path, tmp_path / "t.parquet")


def test_memory_stays_flat(tmp_path: Path) -> None:
    """What is kept does not grow with the trace, only with the code."""
    data = packed([Instruction(0x40 + 4 * i, (3,), (4,), (), (0x1000 + 8 * i,)) for i in range(1000)])
    (tmp_path / "trace").write_bytes(data * 50)
    seen: list[int] = []
    done = champsim.convert(tmp_path / "trace", tmp_path / "t.parquet", progress=seen.append, block=1024)
    assert done.instructions == 50_000
    assert seen[:3] == [1024, 2048, 3072]
    assert done.sites == 1000
