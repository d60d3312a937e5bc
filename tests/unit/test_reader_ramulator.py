"""Does Ramulator's text become the requests it says?"""

import gzip
import lzma
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers import ramulator
from numasim.traces.records import LOAD, STORE

DATA = Path(__file__).parents[1] / "data" / "traces"


def rows_of(path: Path) -> list[tuple[int, int, int, int]]:
    """(kind, address, size, insns) of each row."""
    found = []
    for c in parquet.Reader(path).chunks():
        found += list(zip(*(np.asarray(x).tolist() for x in (c.kind, c.address, c.size, c.insns)), strict=True))
    return found


def convert(text: str | bytes, folder: Path) -> tuple[list[tuple[int, int, int, int]], Any]:
    (folder / "trace").write_bytes(text.encode() if isinstance(text, str) else text)
    done = ramulator.convert(folder / "trace", folder / "t.parquet")
    return rows_of(folder / "t.parquet"), done


def naive(requests: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    """(kind, address, instructions) made rows, one after another."""
    rows, waiting = [], 0
    for kind, address, insns in requests:
        waiting += insns
        rows.append((kind, address, min(8, 64 - address % 64), min(waiting, 255)))
        waiting -= min(waiting, 255)
    return rows


addresses = st.integers(0, 2**63 - 1) | st.integers(0, 300)
blanks = st.sampled_from(["\n", "\n", "\n\n", " \n", "\r\n", "  \n\n"])
plain = st.lists(st.tuples(st.sampled_from([LOAD, STORE]), addresses, blanks, st.booleans()), min_size=1, max_size=20)
cpu = st.lists(st.tuples(st.integers(0, 1000), addresses, st.none() | addresses, blanks), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(plain, st.booleans(), st.sampled_from([30, 1000]))
def test_loads_and_stores(parts: list[tuple[int, int, str, bool]], older: bool, buffer_bytes: int) -> None:
    if older:
        text = "".join(f"{address:#x} {'RW'[kind]}{end}" for kind, address, end, _ in parts)
    else:
        numbers = [f"{address:#x}" if as_hex else f"{address}" for _, address, _, as_hex in parts]
        text = "".join(
            f"{('LD', 'ST')[part[0]]} {number}{part[2]}" for part, number in zip(parts, numbers, strict=True)
        )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ramulator, "BUFFER_BYTES", buffer_bytes)
        rows, done = convert(text, Path(folder))
    assert rows == naive([(kind, address, 1) for kind, address, _, _ in parts])
    assert done.read == text.count("\n")
    assert done.loads + done.stores == done.records == len(parts)


@settings(max_examples=60, deadline=None)
@given(cpu, st.sampled_from([60, 1000]))
def test_instructions_between(parts: list[tuple[int, int, int | None, str]], buffer_bytes: int) -> None:
    lines, requests = [], []
    for bubbles, load, store, end in parts:
        lines.append(f"{bubbles} {load}" + ("" if store is None else f" {store}") + end)
        requests += [(LOAD, load, bubbles + 1)] + ([(STORE, store, 0)] if store is not None else [])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ramulator, "BUFFER_BYTES", buffer_bytes)
        rows, done = convert("".join(lines), Path(folder))
    assert rows == naive(requests)
    assert done.instructions == sum(bubbles + 1 for bubbles, *_ in parts)
    assert done.instructions == sum(row[3] for row in rows) + done.counts["instructions_after"]


def test_the_projects_own_examples(tmp_path: Path) -> None:
    ramulator.convert(DATA / "ramulator2_loadstore.trace", tmp_path / "t.parquet")
    assert rows_of(tmp_path / "t.parquet")[4:6] == [(LOAD, 0x100280, 8, 1), (STORE, 0x1102C0, 8, 1)]
    done = ramulator.convert(DATA / "ramulator2_inst.trace", tmp_path / "t.parquet")
    assert rows_of(tmp_path / "t.parquet")[4:6] == [(LOAD, 20841280, 8, 9), (STORE, 20841280, 8, 0)]
    assert (done.instructions, done.loads, done.stores) == (3 + 1 + 6 + 1 + 8 + 0 + 2 + 1 + 8, 8, 2)
    ramulator.convert(DATA / "ramulator_dram.trace", tmp_path / "t.parquet")
    assert rows_of(tmp_path / "t.parquet") == [(LOAD, 0x12345680, 8, 1), (STORE, 0x4CBD56C0, 8, 1)]
    assert parquet.Reader(tmp_path / "t.parquet").meta.dependence == "unknown"


def test_compressed(tmp_path: Path) -> None:
    text = b"LD 0x40\nST 128\n"
    assert (
        convert(gzip.compress(text), tmp_path)[0]
        == convert(lzma.compress(text), tmp_path)[0]
        == convert(text, tmp_path)[0]
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no request"),
        ("\n\n", "no request"),
        ("LD 0x40\nST 0x", "trace:2: cut short in 'ST 0x'"),
        ("LD 0x40\n" * 20000 + "LD 0x4", "cut short in 'LD 0x4'"),
        ("LD 0x40\nld 0x40\n", "trace:2: not understood: 'ld 0x40'"),
        ("\nLD 0x40\n\nLD 0x40 8\n", "trace:4: not understood: 'LD 0x40 8'"),
        ("LD 0x40\n3 64\n", "trace:2: not understood: '3 64'"),
        ("R 0,0,1,2,3\n", "trace:1: not understood"),
        ("3 0x40\n", "trace:1: not understood"),
        ("-3 64\n", "trace:1: not understood"),
        ("LD 0x10000000000000000\n", "number"),
        ("LD 9223372036854775808\n", "number"),
        (bytes(range(256)) * 4 + b"\n", "trace:1: not understood"),
        (lzma.compress(b"LD 0x40\n" * 9000)[:-20], "compressed data damaged or cut short"),
    ],
)
def test_what_is_no_trace_is_told_in_one_line(text: str | bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        convert(text, tmp_path)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]
