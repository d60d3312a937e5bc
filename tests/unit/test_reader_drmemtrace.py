"""Does the view of a drmemtrace trace become the trace that the same run's lackey log becomes?"""

import gzip
import lzma
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers import drmemtrace, lackey
from numasim.traces.records import BRANCH, LOAD, STORE

DATA = Path(__file__).parents[1] / "data" / "traces"
DETAILS = re.compile(r"(ifetch|read|write) +(\d+) byte\(s\) @ 0x0*([0-9a-f]+)(?: by PC .*)?")
KERNEL = re.compile(r"(?:ifetch|read|write) .*@ 0x[89a-f][0-9a-f]{15}\b")


def naive(view: str) -> str:
    """The view as lackey's log, line by line."""
    out: list[str] = []
    tids: list[str] = []
    running, read = "", ""
    for line in view.splitlines():
        found = re.match(r" *\d+(?: +\d+)?: +(\S+) (.*)", line)
        details = DETAILS.match(found[2]) if found else None
        if not found or not details:
            read = ""
            continue
        if found[1] != running:
            running, read = found[1], ""
            tids += [running] * (running not in tids)
            out.append(f"--1--   SCHED[{tids.index(running) + 1}]:  acquired lock (drmemtrace)")
        if KERNEL.match(found[2]):
            continue
        what = f"{details[3]},{details[2]}"
        if details[1] == "write" and what == read:
            out[-1], read = f" M {what}", ""
        else:
            letter = {"ifetch": "I  ", "read": " L ", "write": " S "}[details[1]]
            out.append(letter + what)
            read = what if details[1] == "read" else ""
    return "\n".join(out) + "\n" * bool(out)


def translated(path: Path) -> str:
    found, view = bytearray(), drmemtrace.Translation(str(path))
    while more := view.read(1000):
        found += more
    return found.decode()


def columns(path: Path) -> dict[str, Any]:
    (chunk,) = parquet.Reader(path).chunks()
    return {name: np.asarray(column).tolist() for name, column in chunk._asdict().items()}


def some_view(parts: list[tuple[str, str]]) -> str:
    """Details with their thread, numbered as the tool does it."""
    lines, instruction = [], 0
    for record, (tid, details) in enumerate(parts, 1):
        instruction += details.startswith("ifetch")
        lines.append(f"{record:>12}{instruction:>12}: {tid:>11} {details}" if tid else details)
    return "\n".join(lines) + "\n"


MOVE, RETURN, LEA = (
    "48 8b 00             mov    (%rax), %rax",
    "c3       ret",
    "48 8d 34 25 00 20 40 lea    0x402000, %rsi",
)
DATA_AT = ["00007ffdf9d85088", "00000000004e34f4", "0000000000000008", "ffffffffb8495c36", "00007f8881e37c70"]
codes, data = st.sampled_from([MOVE, RETURN, LEA]), st.sampled_from(DATA_AT)
pcs, sizes = st.sampled_from(["0000000000404a78", "0000000000404a7e", "ffffffffb8495c38"]), st.sampled_from([1, 8, 64])
names = st.sampled_from(["read", "write"])
fetches = st.builds("ifetch      {:>2} byte(s) @ 0x{} {}".format, st.sampled_from([1, 3, 7, 10]), pcs, codes)
accesses = st.builds("{:<12}{:>2} byte(s) @ 0x{} by PC 0x{}".format, names, sizes, data, pcs)
BOTH = "ifetch  4 byte(s) @ 0x{} 90 nop\nread 8 byte(s) @ 0x{} by PC 0x0\nwrite 8 byte(s) @ 0x{} by PC 0x0"
both = st.builds(BOTH.format, pcs, data, data)
PREFETCH = "pref-r-L1    1 byte(s) @ 0x10 by PC 0x20"
markers = st.sampled_from(["<marker: timestamp 13309323446399692>", "<thread 7 exited>", PREFETCH])
others = st.sampled_from(["-" * 60, "", "View tool results:", "              6 : total instructions"])
tids = st.sampled_from(["1774673", "1774674", "W0.T3"])
records = st.tuples(tids, st.one_of(fetches, accesses, accesses, markers, both))
views = st.lists(st.one_of(records, records, st.tuples(st.just(""), others)), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(views, st.sampled_from([40, 100, 1000]))
def test_lines_become_those_of_the_naive_translation(parts: list[tuple[str, str]], buffer_bytes: int) -> None:
    view = some_view([(tid, line) for tid, details in parts for line in details.split("\n") or [""]])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(drmemtrace, "BUFFER_BYTES", buffer_bytes)
        (Path(folder) / "view").write_text(view)
        assert translated(Path(folder) / "view") == naive(view)


class Bytes:
    """Code by address, for lackey's reader."""

    machine = "x86_64"

    def __init__(self, view: str) -> None:
        found = re.findall(r"ifetch +(\d+) byte\(s\) @ 0x([0-9a-f]+) ((?:[0-9a-f]{2} )+)", view)
        self.known = {int(address, 16): bytes.fromhex(text)[: int(size)] for size, address, text in found}

    def read(self, address: int, size: int) -> bytes:
        return self.known.get(address, b"")[:size]

    def forget(self) -> None:
        pass

    def files(self) -> list[parquet.CodeFile]:
        return []


def test_a_view_and_a_log_of_one_run_give_one_trace(tmp_path: Path) -> None:
    view = lzma.decompress((DATA / "walk.view.xz").read_bytes()).decode()
    (tmp_path / "log").write_text(naive(view))
    log = lackey.convert(tmp_path / "log", tmp_path / "log.parquet", code=Bytes(view))
    done = drmemtrace.convert(DATA / "walk.view.xz", tmp_path / "view.parquet")
    assert columns(tmp_path / "view.parquet") == columns(tmp_path / "log.parquet")
    assert parquet.Reader(tmp_path / "view.parquet").meta.reader == "drmemtrace"
    assert done.dependence == "exact" and done.read == view.count("\n")
    assert (done.instructions, done.loads, done.stores) == (log.instructions, log.loads, log.stores)
    taken, untaken = view.count("(taken)"), view.count("(untaken)")
    assert (done.branches, done.counts["taken"]) == (taken + untaken, taken)


def test_chains_are_those_of_the_program(tmp_path: Path) -> None:
    """walk.c: 500 steps along a list; 500 look-ups that wait for each other through memory; 500 through an index."""
    drmemtrace.convert(DATA / "walk.view.xz", tmp_path / "t.parquet")
    c = columns(tmp_path / "t.parquet")
    ends = [n + 1 for n, a in enumerate(c["address"]) if c["kind"][n] == LOAD and a >= 0x1FFF000000]  # each `ret`
    depth: list[int] = []
    for n, kind in enumerate(c["kind"]):
        backs = [c[name][n] for name in ("dep0", "dep1", "dep2", "fwd") if c[name][n]]
        depth.append(max((depth[n - back] for back in backs), default=0) + (kind == LOAD))
    parts = [range(start, end - 1) for start, end in zip([0, *ends], ends, strict=False)]
    assert [max(depth[n] for n in part if c["kind"][n] == LOAD) for part in parts] == [500, 1001, 2]


@pytest.mark.parametrize("version", [4, 5, 6])
def test_the_project_s_own_samples(version: int, tmp_path: Path) -> None:
    path = DATA / f"drmemtrace_{version}.view"
    done = drmemtrace.convert(path, tmp_path / "t.parquet")
    text, log = path.read_text(), naive(path.read_text())
    assert translated(path) == log
    assert done.read == text.count("\n")
    assert done.dependence == "exact" and not done.counts["unknown_code"]
    assert done.loads == len(re.findall("^ L", log, re.M)) and done.stores == len(re.findall("^ S", log, re.M))


def test_what_the_samples_say(tmp_path: Path) -> None:
    """By hand, from the lines of the sample: thread 2 stores at 0x402581 what 0x40258c compares, and jumps on it."""
    done = drmemtrace.convert(DATA / "drmemtrace_5.view", tmp_path / "t.parquet")
    sites = parquet.Reader(tmp_path / "t.parquet").meta.sites
    c = columns(tmp_path / "t.parquet")
    at = {sites[site]: n for n, site in enumerate(c["site"])}
    compare, jump, store = at["0x40258c"], at["0x402590"], at["0x40259b"]
    assert (c["kind"][compare], c["fwd"][compare]) == (LOAD, compare - at["0x402581"])
    assert (c["kind"][jump], c["dep0"][jump], c["taken"][jump]) == (BRANCH, 1, 0)
    assert (c["kind"][store], store - c["dep0"][store]) == (STORE, at["0x402592"])
    assert [c["thread"][at[site]] for site in ("0x404a7e", "0x40257d")] == [1, 2]
    assert done.counts["system_calls"] == 2


def test_an_encoding_of_two_lines_is_read_whole() -> None:
    view = drmemtrace.Translation(str(DATA / "drmemtrace_6.view"))
    while view.read(1000):
        pass
    assert view.code.read(0x401012, 8) == bytes.fromhex("48 8d 34 25 00 20 40 00")
    assert view.code.read(0x401012, 15) == view.code.read(0x401012, 8)
    assert view.kernel == 2


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    assert drmemtrace.convert(DATA / "drmemtrace_6.view", tmp_path / "t.parquet").notes == (
        "2 lines of the kernel's code were left out.",
    )
    prefetch = ("7", "pref-r-L1    1 byte(s) @ 0x0000000000500040 by PC 0x0000000000400000")
    access = ("7", "read         8 byte(s) @ 0x0000000000500000 by PC 0x0000000000400000")
    (tmp_path / "view").write_text(some_view([prefetch, access, ("7", prefetch[1].replace("pref-r-L1", "dflush   "))]))
    done = drmemtrace.convert(tmp_path / "view", tmp_path / "t.parquet")
    assert done.notes == ("1 software prefetches are not in it.",)
    assert (done.loads, done.counts["flushes"]) == (1, 1)


def test_code_of_files_serves_views_without_encodings(tmp_path: Path) -> None:
    view = lzma.decompress((DATA / "walk.view.xz").read_bytes()).decode()
    bare = re.sub(r"(ifetch .*@ 0x[0-9a-f]+) .*", r"\1 non-branch", view)
    (tmp_path / "view").write_text(bare)
    assert drmemtrace.convert(tmp_path / "view", tmp_path / "bare.parquet").dependence == "unknown"
    done = drmemtrace.convert(tmp_path / "view", tmp_path / "bare.parquet", code=Bytes(view))
    drmemtrace.convert(DATA / "walk.view.xz", tmp_path / "whole.parquet")
    assert done.dependence == "exact"
    assert columns(tmp_path / "bare.parquet") == columns(tmp_path / "whole.parquet")


def test_words_of_aarch64(tmp_path: Path) -> None:
    """Lines of the project's scatter-gather test; a load by what another load brought."""
    (tmp_path / "view").write_text(
        some_view(
            [
                ("7", "ifetch       4 byte(s) @ 0x0000000000400000 f9400020   ldr    (%x1)[8byte] -> %x0"),
                ("7", "read         8 byte(s) @ 0x0000000000500000 by PC 0x0000000000400000"),
                ("7", "ifetch       4 byte(s) @ 0x0000000000400004 f9400003   ldr    (%x0)[8byte] -> %x3"),
                ("7", "read         8 byte(s) @ 0x0000000000600000 by PC 0x0000000000400004"),
            ]
        )
    )
    view = drmemtrace.Translation(str(tmp_path / "view"))
    assert view.code.machine == "aarch64"
    assert view.code.read(0x400000, 4) == bytes.fromhex("200040f9")
    assert drmemtrace.convert(tmp_path / "view", tmp_path / "t.parquet").dependence == "exact"
    assert columns(tmp_path / "t.parquet")["dep0"] == [0, 1]


def test_views_without_encodings_do_not_say_which_load_needs_which(tmp_path: Path) -> None:
    lines = [
        ("7", "ifetch       3 byte(s) @ 0x0000000000400000 non-branch"),
        ("7", "read         8 byte(s) @ 0x0000000000500000 by PC 0x0000000000400000"),
        ("7", "ifetch       2 byte(s) @ 0x0000000000400003 taken conditional jump"),
    ]
    (tmp_path / "view").write_text(some_view(lines))
    assert drmemtrace.convert(tmp_path / "view", tmp_path / "t.parquet").dependence == "unknown"
    regdeps = [
        ("7", "<marker: filetype 0x20e00>"),
        ("7", "ifetch  4 byte(s) @ 0x0000000000400000 00004011 load"),
        *lines,
    ]
    (tmp_path / "view").write_text(some_view(regdeps))
    assert drmemtrace.convert(tmp_path / "view", tmp_path / "t.parquet").dependence == "unknown"


def test_code_that_changes_is_read_anew() -> None:
    lines = [("7", f"ifetch       1 byte(s) @ 0x0000000000400000 {code}  x") for code in ("90", "c3", "c3", "90", "55")]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "view").write_text(some_view(lines))
        view = drmemtrace.Translation(str(Path(folder) / "view"))
        assert view.code.read(0x400000, 1) == b"\x55"


READ = b"           1           1:        4711 read         8 byte(s) @ 0x00007ffdf9d85088 by PC 0x000000000040361a\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "no memory access"),
        (b"Output format:\n" + READ + b"hello\n", "view:3: not understood: 'hello'"),
        (READ + READ[:60], "view:2: cut short in"),
        (READ + READ.replace(b"0x00007", b"0x0000g"), "view:2: not understood"),
        (READ + READ.replace(b"read ", b"raed "), "view:2: not understood"),
        (READ + READ.replace(b" 8 byte", b" 0 byte"), "view:2: not understood"),
        (READ + bytes(range(128, 256)) + b"\n", "view:2: not understood"),
        (READ.replace(b" 8 byte", b"9999 byte"), "not understood"),
        (lzma.compress(READ * 5000)[:-30], "compressed data damaged or cut short"),
        (gzip.compress(READ * 5000, mtime=0)[:-30], "compressed data damaged or cut short"),
    ],
)
def test_what_is_no_view_is_told_in_one_line(text: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "view").write_bytes(text)
    with pytest.raises(UserError) as caught:
        drmemtrace.convert(tmp_path / "view", tmp_path / "t.parquet")
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["view"]


def test_a_folder_or_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="cannot be read"):
            drmemtrace.convert(path, tmp_path / "t.parquet")
