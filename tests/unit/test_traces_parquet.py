"""Does the trace file give back what was put in, and refuse what is none?"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.parquet import Columns, Meta, Range, Reader, Writer
from numasim.traces.readers import lackey
from numasim.traces.records import CHUNK

META = Meta(reader="test", source="./p", dependence="exact", markers=True, sites=["f+0x8", "g"], threads=[1, 7])


def some_columns(rows: int, seed: int) -> Columns:
    """Random rows with every column at its limits somewhere."""
    r = np.random.default_rng(seed)
    values = {n: r.integers(0, np.iinfo(t).max, rows, t, endpoint=True) for n, t in parquet.TYPES.items()}
    values["kind"] = r.integers(0, 10, rows, np.uint8)
    values["size"] = r.integers(1, 65, rows, np.uint8)
    return Columns(**values)


def write(path: Path, groups: list[Columns], meta: Meta = META) -> None:
    with Writer(path) as writer:
        for group in groups:
            writer.write(group)
        writer.commit(meta)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=4), st.integers(1, 400))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], rows: int
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    groups = [some_columns(size, seed) for seed, size in enumerate(sizes)]
    write(path, groups)
    reader = Reader(path)
    chunks = list(reader.chunks(rows=rows))
    assert (msgspec.structs.replace(reader.meta, zero=[]), reader.rows) == (META, sum(sizes))
    assert all(len(chunk.address) <= rows for chunk in chunks)
    for name in Columns._fields:
        put, got = ([np.asarray(getattr(c, name)) for c in columns] for columns in (groups, chunks))
        assert np.array_equal(np.concatenate([*put, []]), np.concatenate([*got, []]))


def test_one_value_for_all_rows_and_only_some_columns(tmp_path: Path) -> None:
    write(tmp_path / "t", [Columns(np.arange(5), kind=1, size=4, dep0=np.array([0, 1, 2, 3, 255]))])
    (chunk,) = Reader(tmp_path / "t").chunks(("address", "dep0"))
    assert np.asarray(chunk.dep0).tolist() == [0, 1, 2, 3, 255]
    assert chunk.kind == 0, "not asked for: its default"
    (chunk,) = Reader(tmp_path / "t").chunks()
    assert np.asarray(chunk.kind).tolist() == [1] * 5


def test_metadata_are_json_that_anyone_can_read(tmp_path: Path) -> None:
    meta = Meta(regions=[Range("heap", 4096, 8192)], counts={"lines": 3})
    write(tmp_path / "t", [some_columns(3, 1)], meta)
    text = pq.ParquetFile(tmp_path / "t").metadata.metadata[parquet.KEY]
    assert b'"regions":[{"name":"heap","start":4096,"end":8192}]' in text
    assert Reader(tmp_path / "t").meta == msgspec.structs.replace(meta, zero=[])


def test_columns_of_zeros_are_named(tmp_path: Path) -> None:
    write(tmp_path / "t", [Columns(np.arange(5), thread=0), Columns(np.arange(5), thread=0, dep2=[0, 0, 0, 0, 1])])
    named = {"thread", "site", "kind", "dep0", "dep1", "lag0", "lag1", "lag2", "fwd", "taken"}
    assert set(Reader(tmp_path / "t").meta.zero) == named


def test_restart_forgets(tmp_path: Path) -> None:
    with Writer(tmp_path / "t") as writer:
        writer.write(some_columns(100, 1))
        writer.restart()
        writer.write(some_columns(7, 2))
        writer.commit(META)
    assert Reader(tmp_path / "t").rows == 7
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def write_and_stop(path: Path, error: type[BaseException]) -> None:
    with Writer(path) as writer:
        writer.write(some_columns(1000, 1))
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_end_before_the_end_leaves_no_file_and_the_old_one(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "old").write_text("precious")
    for name in ("old", "new"):
        with pytest.raises(error):
            write_and_stop(tmp_path / name, error)
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "precious"


def test_ctrl_c_during_a_conversion_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("I  1000,1\n L 2000,8\n" * 1000)

    def stop(lines: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lackey.convert(tmp_path / "log", tmp_path / "t", buffer_bytes=1000, group_rows=10, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["log"]


def test_a_killed_conversion_leaves_no_output(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from numasim.traces.readers import lackey
        def stop(lines):
            if lines > 10_000:
                os.kill(os.getpid(), signal.SIGKILL)
        lackey.convert("-", sys.argv[1], buffer_bytes=4096, group_rows=1000, progress=stop)
    """
    log = b"I  1000,1\n L 2000,8\n" * 20_000
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path / "t"], input=log, timeout=120, check=False
    )
    assert done.returncode < 0
    assert not (tmp_path / "t").exists()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for path in ("/dev/null", tmp_path):
        with pytest.raises(UserError, match="not a regular file"):
            Writer(path)
    with pytest.raises(UserError, match="cannot be written"):
        Writer(tmp_path / "missing" / "t")


# ---- files that are no traces ----


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    write(tmp_path / "whole", [some_columns(5000, 1), some_columns(5000, 2)])
    return (tmp_path / "whole").read_bytes()


def read(path: Path) -> int:
    return sum(len(chunk.address) for chunk in Reader(path).chunks())


def test_a_file_cut_short_is_refused(whole: bytes, tmp_path: Path) -> None:
    for length in (0, 1, 4, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        (tmp_path / "t").write_bytes(whole[:length])
        with pytest.raises(UserError, match="t: no Parquet file, or one cut short") as error:
            read(tmp_path / "t")
        assert "\n" not in str(error.value)


def test_any_damaged_byte_is_found_or_harmless(whole: bytes, tmp_path: Path) -> None:
    found = 0
    for at in range(0, len(whole), 997):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        (tmp_path / "t").write_bytes(damaged)
        try:
            assert read(tmp_path / "t") == 10000
        except UserError as error:
            found += 1
            assert str(tmp_path / "t") in str(error)  # noqa: PT017  (which bytes matter is not known)
    assert found > len(whole) / 997 * 0.8


def test_foreign_files_are_refused(whole: bytes, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "foreign")
    table = pq.read_table(tmp_path / "whole")
    pq.write_table(table.drop_columns(["fwd"]), tmp_path / "column")
    pq.write_table(table.set_column(0, "address", table["thread"]), tmp_path / "type")
    for name in ("foreign", "column", "type"):
        with pytest.raises(UserError, match=f"{name}: a Parquet file, but no numasim trace"):
            Reader(tmp_path / name)
    (tmp_path / "text").write_text("I  04001090,3\n" * 100)
    with pytest.raises(UserError, match="no Parquet file"):
        Reader(tmp_path / "text")
    for path, what in ((tmp_path / "missing", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(UserError, match=what):
            Reader(path)


def test_what_the_engine_could_not_hold_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "t", [Columns(np.arange(3))], Meta(version=9))
    with pytest.raises(UserError, match="trace format 9"):
        Reader(tmp_path / "t")
    for bad, says in (
        (Columns(np.arange(3), kind=13), "unknown kind 13"),
        (Columns(np.arange(3), size=65), "more than 64"),
    ):
        write(tmp_path / "t", [bad])
        with pytest.raises(UserError, match=says):
            read(tmp_path / "t")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads peak memory from /proc")
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """Ten times the log, and reading it back: the peak of the process stays."""
    code = """
        import re, sys
        from numasim.traces.parquet import Reader
        from numasim.traces.readers import lackey
        for lines in (2_000_000, 20_000_000):
            block = "".join(f"I  {0x401000 + i % 999:x},4\\nI  401000,3\\n L {0x4a00000 + i * 7919 % 65536 * 8:x},8\\n"
                            for i in range(50_000))
            with open(sys.argv[1], "w") as log:
                for _ in range(lines // 150_000):
                    log.write(block)
            done = lackey.convert(sys.argv[1], sys.argv[2])
            assert sum(len(c.address) for c in Reader(sys.argv[2]).chunks()) == done.records
            print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    """
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "log"), str(tmp_path / "t")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=True)
    short, long = map(int, done.stdout.split())
    assert long < 1.2 * short


def test_chunks_are_as_small_as_the_engine_wants_them(tmp_path: Path) -> None:
    write(tmp_path / "t", [Columns(np.arange(200_000)), Columns(np.arange(10))])
    assert max(len(chunk.address) for chunk in Reader(tmp_path / "t").chunks()) <= CHUNK
