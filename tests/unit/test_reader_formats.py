"""Is a file's format recognised, and read by its reader?"""

import gzip
import lzma
import random
import struct
from pathlib import Path

import pytest

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers import formats

DATA = Path(__file__).parents[1] / "data" / "traces"
LACKEY = "==7== Command: ./walk\nI  0400,3\n L 1ffefff8,8\n"
CLOUDSUITE = struct.pack("<Q2B4B4B6x4Q4Q8x", 0x400, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, *[0] * 4, 0x1000, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "format", "loads"),
    [
        ("drmemtrace_4.view", "drmemtrace", 4),
        ("drmemtrace_5.view", "drmemtrace", 5),
        ("drmemtrace_6.view", "drmemtrace", 1),
        ("walk.view.xz", "drmemtrace", 2504),
        ("walk.champsimtrace.xz", "champsim", 2504),
        ("ramulator2_loadstore.trace", "ramulator", 6),
        ("ramulator2_inst.trace", "ramulator", 8),
        ("ramulator_dram.trace", "ramulator", 1),
    ],
)
def test_files_of_the_tools(name: str, format: str, loads: int, tmp_path: Path) -> None:
    assert formats.recognise(str(DATA / name)).name == format
    done = formats.convert(DATA / name, tmp_path / "t.parquet")
    reader = parquet.Reader(tmp_path / "t.parquet")
    assert (done.reader, done.loads, done.records) == (format, loads, reader.rows)
    assert done.dependence == reader.meta.dependence == ("unknown" if format == "ramulator" else "exact")
    assert done.sites == len(reader.meta.sites)


def test_lackey_and_cloudsuite(tmp_path: Path) -> None:
    for data, format in ((LACKEY.encode(), "lackey"), (CLOUDSUITE * 3, "champsim-cloudsuite")):
        for packed in (data, gzip.compress(data), lzma.compress(data)):
            (tmp_path / "log").write_bytes(packed)
            assert formats.recognise(str(tmp_path / "log")).name == format
            assert formats.convert(tmp_path / "log", tmp_path / "t.parquet").loads == len(data) // 96 + (
                format == "lackey"
            )


def test_a_named_format_is_taken(tmp_path: Path) -> None:
    seen: list[int] = []
    done = formats.convert(DATA / "ramulator_dram.trace", tmp_path / "t.parquet", "ramulator", progress=seen.append)
    assert done.unit == "lines" and seen == [2]
    with pytest.raises(UserError, match="not understood"):
        formats.convert(DATA / "ramulator_dram.trace", tmp_path / "t.parquet", "lackey")


def test_options_of_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"option 'only', but the format is champsim \(expected lackey, drmemtrace\)"):
        formats.convert(DATA / "walk.champsimtrace.xz", tmp_path / "t.parquet", only=1)
    assert formats.convert(DATA / "walk.champsimtrace.xz", tmp_path / "t.parquet", pin=False).loads == 2504


def test_what_is_known_is_listed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no format 'elf' \(expected one of lackey, drmemtrace, ramulator, champsim"):
        formats.convert(DATA / "ramulator_dram.trace", tmp_path / "t.parquet", "elf")
    with pytest.raises(UserError, match=r"a format that is not told \(expected one of lackey"):
        formats.convert("-", tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"samples of perf, which are no trace \(expected `numasim trace samples`"):
        formats.convert(DATA / "perf_mem.script.xz", tmp_path / "t.parquet")


@pytest.mark.parametrize("data", [b"\x7fELF" + bytes(500), b"hello\nworld\n", bytes(1000), b"PAR1" * 100])
def test_other_files_are_of_no_format(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(data)
    with pytest.raises(UserError, match="no format that is known"):
        formats.convert(tmp_path / "log", tmp_path / "t.parquet")


def test_random_bytes_are_of_no_format(tmp_path: Path) -> None:
    for seed in range(50):
        (tmp_path / "log").write_bytes(random.Random(seed).randbytes(200 + seed))
        with pytest.raises(UserError):
            formats.convert(tmp_path / "log", tmp_path / "t.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (gzip.compress(LACKEY.encode() * 9999, mtime=0)[:60], "damaged or cut short"),
        (b"\x1f\x8b" + b"x" * 50, "damaged or cut short"),
        (b"\xfd7zXZ\0" + b"x" * 50, "damaged or cut short"),
    ],
)
def test_empty_and_damaged(data: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(data)
    with pytest.raises(UserError, match=told):
        formats.recognise(str(tmp_path / "log"))


def test_a_folder_or_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="cannot be read"):
            formats.convert(path, tmp_path / "t.parquet")


def test_a_short_champsim_trace_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.champsimtrace.xz").write_bytes(lzma.compress(b"short"))
    with pytest.raises(UserError, match="5 bytes at the end"):
        formats.convert(tmp_path / "a.champsimtrace.xz", tmp_path / "t.parquet")
