"""Does the lackey reader make of a log what a slow, obvious reader makes of it?"""

import gzip
import io
import lzma
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers import lackey, lackey_scan
from numasim.traces.records import COUNT_OFF, COUNT_ON, LOAD, MARK, POST, STORE

PAGE = 0x0A0000000000
WARM, ON, OFF = f" S {PAGE + 0x80:08x},8", f" S {PAGE:08x},8", f" S {PAGE + 0x40:08x},8"


class Row(NamedTuple):
    thread: int
    site: str
    kind: int
    address: int
    size: int
    insns: int
    dep0: int
    lag0: int


def naive(log: str) -> list[Row]:
    """The reader again, line by line."""
    offsets = {WARM.strip(): "warm", ON.strip(): "on", OFF.strip(): "off"}
    lines = log.splitlines()
    begins = [i for i, line in enumerate(lines) if offsets.get(line.strip().replace("M", "S")) in ("warm", "on")]
    rows: list[Row] = []
    thread, where = 1, "all"
    pending: dict[int, int] = {}
    code: dict[int, str] = {}
    for i, line in enumerate(lines):
        if begins and i == begins[0]:
            rows, pending, where = [], {}, "off"
        if "acquired lock" in line:
            thread = int(line.split("SCHED[")[1].split("]")[0])
        if line[:3] not in ("I  ", " L ", " S ", " M "):
            continue
        address, size = int(line[3:].split(",")[0], 16), int(line.split(",")[1])
        letter = line[:2].strip()
        waiting = pending.get(thread, 0)
        if address >> 12 == PAGE >> 12 and letter != "I":
            new = offsets.get(line.strip().replace("M", "S"), where) if letter != "L" else where
            if new != where:
                if where == "off":
                    pending, waiting = {}, 0
                if new == "on" or where == "on":
                    mark = COUNT_ON if new == "on" else COUNT_OFF
                    rows.append(Row(thread, "", MARK, mark, 0, min(waiting, 255), 0, 0))
                    pending[thread] = waiting - min(waiting, 255)
            where = new
        elif where == "off":
            continue
        elif letter == "I":
            pending[thread], code[thread] = waiting + 1, f"{address:#x}"
        else:
            insns, pieces = min(waiting, 255), [(address + j, min(64, size - j)) for j in range(0, size, 64)]
            pending[thread] = waiting - insns
            for kind in [LOAD] * (letter in "LM") + [STORE] * (letter in "SM"):
                back = len(pieces) if letter == "M" and kind == STORE else 0
                for piece in pieces:
                    rows.append(Row(thread, code.get(thread, "unknown"), kind, *piece, insns, back, min(back, 1)))
                    insns = 0
    return rows


def rows_of(path: Path) -> list[Row]:
    reader = parquet.Reader(path)
    rows = []
    for chunk in reader.chunks():
        columns = [np.asarray(getattr(chunk, name)).tolist() for name in Row._fields]
        for row in map(Row._make, zip(*columns, strict=True)):
            rows.append(row._replace(site="" if row.kind == MARK else reader.meta.sites[row.site]))  # type: ignore[call-overload]
    return rows


def convert(log: str | bytes, folder: Path, **options: Any) -> tuple[list[Row], lackey.Converted]:
    (folder / "log").write_bytes(log if isinstance(log, bytes) else log.encode())
    done = lackey.convert(folder / "log", folder / "t.parquet", **options)
    return rows_of(folder / "t.parquet"), done


data = st.sampled_from([0x1FFEFFF8, 0x4A3F040, 0x4A3F07D, 0x7FFFFFFFFFFF, 0, PAGE - 8, PAGE + 4096])
accesses = st.builds(
    "I  {:08x},{}\n {} {:08x},{}".format,
    st.integers(0x401000, 0x401010),
    st.integers(1, 15),
    st.sampled_from("LSM"),
    data,
    st.sampled_from([1, 8, 16, 64, 65, 200, 512]),
)
more = st.builds(" {} {:08x},8".format, st.sampled_from("LSM"), data)
instructions = st.builds(lambda n: "\n".join(["I  00401000,3"] * n), st.sampled_from([1, 2, 254, 255, 256, 600]))
markers = st.sampled_from(
    [WARM, ON, OFF, WARM, ON, OFF, ON.replace("S", "M"), ON.replace("S", "L"), ON + "4", f" S {PAGE + 8:x},8"]
)
switches = st.builds("--77--   SCHED[{}]:  acquired lock (VG_(vg_yield))".format, st.integers(1, 3))
messages = st.sampled_from(
    [
        "==77== Command: ./a b",
        "SCHEDSETJMP(line 1211) tid 1, jumped=7",
        "==77== ",
        "",
        "--77--   SCHED[2]: releasing lock",
        "SB 00401000",
    ]
)
logs = st.lists(st.one_of(accesses, accesses, more, instructions, markers, switches, messages), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(logs, st.integers(1, 300), st.integers(1, 20))
def test_rows_are_those_of_the_naive_reader(parts: list[str], buffer_bytes: int, group_rows: int) -> None:
    log = "\n".join(parts) + "\n"
    expected = naive(log)
    on = not any(begin in log for begin in (WARM, WARM.replace("S", "M"), ON + "\n", ON.replace("S", "M")))
    counted = 0
    for row in expected:
        on = row.address == COUNT_ON if row.kind == MARK else on
        counted += on and row.kind != MARK
    with tempfile.TemporaryDirectory() as folder:
        if not counted:
            with pytest.raises(UserError, match="no memory access"):
                convert(log, Path(folder), buffer_bytes=buffer_bytes, group_rows=group_rows)
            return
        rows, done = convert(log, Path(folder), buffer_bytes=buffer_bytes, group_rows=group_rows)
    assert rows == expected
    assert done.lines == log.count("\n")
    assert done.records == len(expected)
    assert (done.loads, done.stores) == tuple(sum(row.kind == kind for row in rows) for kind in (LOAD, STORE))
    assert done.instructions == sum(row.insns for row in rows) + done.instructions_after
    traced = sum(line[:3] in ("I  ", " L ", " S ", " M ") for line in log.splitlines())
    assert 0 <= done.dropped_before + done.dropped_after <= traced


class NoCode:
    """Of no instruction is the code known."""

    machine = "x86_64"

    def read(self, address: int, size: int) -> bytes:
        return b""

    def forget(self) -> None:
        pass

    def files(self) -> list[parquet.CodeFile]:
        return []


@settings(max_examples=100, deadline=None)
@given(logs, st.integers(1, 300), st.integers(1, 20), st.integers(0x401000, 0x401010), st.integers(1, 4096))
def test_with_code_that_is_not_known_the_rows_are_the_same(
    parts: list[str], buffer_bytes: int, group_rows: int, odd: int, odd_size: int
) -> None:
    log = "\n".join([*parts, f"I  {odd:x},{odd_size}", *parts]) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        try:
            plain, done = convert(log, Path(folder), group_rows=group_rows)
        except UserError as error:
            with pytest.raises(UserError, match="no memory access"):
                convert(log, Path(folder), code=NoCode())
            assert "no memory access" in str(error)  # noqa: PT017  (which logs have none is not known)
            return
        rows, found = convert(log, Path(folder), code=NoCode(), buffer_bytes=buffer_bytes, group_rows=group_rows)
    rows = [row for row in rows if row.kind < POST]  # that threads wait for each other is known without their code too
    same = [[row._replace(dep0=0, lag0=0, insns=0) for row in made] for made in (plain, rows)]
    assert same[0] == same[1]
    assert sum(row.insns for row in rows) + found.instructions_after == found.instructions
    assert found.unknown_code == found.instructions == done.instructions
    assert not found.exact


def some_log(lines: int, seed: int = 1) -> str:
    """A log with the mix of a real one: of ten lines six or seven are instructions."""
    r = random.Random(seed)
    out = []
    for _ in range(lines // 3):
        code, address = 0x401000 + 4 * r.randrange(3000), 0x4A00000 + 8 * r.randrange(1 << 16)
        out += [f"I  {code:08x},4", f"I  {code + 4:08x},3", f" {r.choice('LLLSM')} {address:08x},8"]
    return "\n".join(out) + "\n"


def test_plain_python_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = some_log(3000)
    rows, done = convert(log, tmp_path)
    monkeypatch.setattr(lackey_scan, "scan", getattr(lackey_scan.scan, "py_func", lackey_scan.scan))
    assert convert(log, tmp_path) == (rows, done)


def test_compressed_and_standard_input_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = some_log(30000).encode()
    plain = convert(log, tmp_path)
    assert len(plain[0]) > 10000
    assert convert(gzip.compress(log), tmp_path) == plain
    assert convert(lzma.compress(log), tmp_path) == plain
    assert convert(lzma.compress(log[:30]) + lzma.compress(log[30:]), tmp_path) == plain  # as `xz` of two parts, joined
    for text in (log, gzip.compress(log)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text))))
        done = lackey.convert("-", tmp_path / "stdin.parquet")
        assert (rows_of(tmp_path / "stdin.parquet"), done) == plain


def test_the_command_and_the_threads_are_kept(tmp_path: Path) -> None:
    log = (
        "==9== Command: ./p -x\nI  1000,1\n L 2000,8\n--9--   SCHED[3]:  acquired lock (thread)\nI  1000,1\n S 3000,4\n"
    )
    rows, done = convert(log, tmp_path)
    meta = parquet.Reader(tmp_path / "t.parquet").meta
    assert (meta.source, meta.threads, meta.reader, meta.dependence) == ("./p -x", [1, 3], "lackey", "unknown")
    assert [row.thread for row in rows] == [1, 3]
    assert done.threads == 2
    assert meta.counts["lines"] == 6


# ---- the region of interest ----

A, B, C, D = (f"I  00001000,4\n L 0000{letter}000,8" for letter in "abcd")


def addresses(rows: list[Row]) -> list[str]:
    marks = {COUNT_ON: "on", COUNT_OFF: "off"}
    return [marks[row.address] if row.kind == MARK else f"{row.address:x}"[0] for row in rows]


@pytest.mark.parametrize(
    ("parts", "kept", "before", "after"),
    [
        ([A, B], "a b", 0, 0),
        ([A, WARM, B, ON, C, OFF, D], "b on c off", 3, 2),
        ([A, ON, B, C, OFF, D], "on b c off", 3, 2),
        ([A, ON, B], "on b", 3, 0),
        ([A, OFF, B], "a", 0, 2),
        ([ON, A, OFF, B, ON, C, OFF], "on a off on c off", 1, 3),
        ([ON, A, OFF, B, WARM, C, ON, D], "on a off c on d", 1, 3),
        ([ON, A, WARM, B, ON, C], "on a off b on c", 1, 0),
        ([ON, A, ON, B, OFF, OFF, C], "on a b off", 1, 3),
        ([ON, A, f" S {PAGE + 0x60:x},8", f" S {PAGE + 0x40:x},4", B], "on a b", 1, 0),
    ],
)
def test_markers_cut_a_region(parts: list[str], kept: str, before: int, after: int, tmp_path: Path) -> None:
    rows, done = convert("\n".join(parts) + "\n", tmp_path)
    assert addresses(rows) == kept.split()
    assert (done.dropped_before, done.dropped_after) == (before, after)
    assert done.markers == parquet.Reader(tmp_path / "t.parquet").meta.markers == (parts != [A, B])


@pytest.mark.parametrize("parts", [[A, WARM, B], [A, ON, OFF], [A, WARM, B, OFF], [A, WARM, B, ON, OFF]])
def test_a_region_in_which_nothing_counts_is_an_error(parts: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="while its markers say that counting is on"):
        convert("\n".join(parts) + "\n", tmp_path)


def test_a_beginning_after_much_was_written_starts_the_file_anew(tmp_path: Path) -> None:
    rows, done = convert(some_log(3000) + ON + "\n" + B + "\n", tmp_path, group_rows=10)
    assert addresses(rows) == ["on", "b"]
    assert (done.sites, done.loads, done.instructions) == (1, 1, 1)


def test_more_sites_than_have_numbers(tmp_path: Path) -> None:
    log = "".join(f"I  {0x400000 + i:x},1\n L 1000,8\n" for i in range(65600))
    rows, done = convert(log, tmp_path)
    assert done.sites == 65535
    assert [row.site for row in rows] == [f"{0x400000 + i:#x}" for i in range(65535)] + ["other"] * 65


# ---- logs that are none ----


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("I  0400zz,3", "'I  0400zz,3'"),
        ("I 04001090,3", "'I 04001090,3'"),
        ("I  04001090", "not understood"),
        ("I  04001090,", "not understood"),
        ("I  ,3", "not understood"),
        (" L 04001090,x", "not understood"),
        (" L 04001090,8 ", "not understood"),
        (" L 04001090,0", "not understood"),
        (" L 04001090,99999999999999999999999", "not understood"),
        (" L 0123456789abcdef01,8", "not understood"),
        (" X 04001090,8", "not understood"),
        ("L 04001090,8", "not understood"),
        ("hello", "'hello'"),
        ("\xff\x00" + "x" * 100, "..."),
        ("--9--   SCHED[5000]:  acquired lock", "too many threads"),
    ],
)
def test_a_malformed_line_is_named(line: str, says: str, tmp_path: Path) -> None:
    good = "==1== Lackey\nI  04001090,3\n L 1ffe,8\n"
    for size in (8, 1 << 20):
        with pytest.raises(UserError) as error:
            convert(good + line + "\n" + good, tmp_path, buffer_bytes=size)
        assert f"{tmp_path / 'log'}:4: " in str(error.value)
        assert says in str(error.value)
        assert "expected lackey lines like" in str(error.value)
        assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("end", ["I  04001090,3", " L 1f", " ", "==12"])
def test_a_log_cut_short_is_named(end: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"log:3: the log is cut short in '"):
        convert("I  04001090,3\n L 1ffe,8\n" + end, tmp_path)


@pytest.mark.parametrize("log", ["", "\n", "==1== Lackey\n", "I  04001090,3\n"])
def test_a_log_without_access_is_an_error(log: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="log: no memory access"):
        convert(log, tmp_path)
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_damaged_compression_is_an_error(pack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    whole = pack(some_log(3000).encode())
    for cut in (whole[:-5], whole[: len(whole) // 2], whole[:100] + bytes(20) + whole[120:]):
        with pytest.raises(UserError, match="damaged or cut short"):
            convert(cut, tmp_path)
    assert not (tmp_path / "t.parquet").exists()


def test_a_line_without_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a line of more than"):
        convert(b"x" * (3 << 20), tmp_path, buffer_bytes=1 << 16)


def test_logs_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            lackey.convert(path, tmp_path / "t.parquet")


def test_three_million_lines_a_cpu_second(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(some_log(300_000) * 5)
    lackey.convert(tmp_path / "log", tmp_path / "t.parquet")  # compiles, or loads what was compiled
    start = time.process_time()
    done = lackey.convert(tmp_path / "log", tmp_path / "t.parquet")
    rate = done.lines / (time.process_time() - start)
    print(f"{rate / 1e6:.1f} M lines a CPU second")
    assert rate > 3e6
