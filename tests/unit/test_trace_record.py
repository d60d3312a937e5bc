"""Does recording keep what a program did, whatever becomes of the program, and say in one line what went wrong?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from numasim.cli import trace_record
from numasim.errors import UserError
from numasim.traces import record as recording
from numasim.traces.parquet import Columns, Reader
from numasim.traces.readers import lackey
from numasim.traces.records import ATOMIC, LOAD, STORE

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

# 4 MiB of malloc, 1 MiB of .bss; WORDS are read from stdin and told on both outputs; the argument is the exit status
PROGRAM = """\
#include <stdio.h>
#include <stdlib.h>
static volatile long table[1 << 17];
int main(int count, char **words) {
    char text[100] = "";
    volatile long *heap = malloc(4 << 20), *small = malloc(100);
    for (int i = 0; i < 1 << 19; i += 512) heap[i] = i;
    for (int i = 0; i < 1 << 17; i += 512) table[i] = i;
    for (int i = 0; i < 3000; i++) small[i % 12] = small[(i + 5) % 12];
    if (count > 2) for (;;) table[0]++;
    if (fgets(text, sizeof text, stdin)) { printf("out %s", text); fprintf(stderr, "err %s", text); }
    return atoi(words[1]);
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Path:
    program("valgrind")
    folder = tmp_path_factory.mktemp("record")
    (folder / "program.c").write_text(PROGRAM)
    subprocess.run([program("gcc"), "-O1", "-g", "-o", folder / "program", folder / "program.c"], check=True)
    return folder / "program"


def columns(path: Path) -> Columns:
    return Columns(*(np.concatenate(field) for field in zip(*Reader(path).chunks(), strict=True)))


def test_input_and_outputs_are_the_programs(cli: Cli, built: Path, tmp_path: Path) -> None:
    done = cli("trace", "record", "-o", "t.parquet", "--", str(built), "3", stdin="hello\n")
    assert done.returncode == 0
    assert done.stdout == "out hello\n", "what is told of the recording goes to standard error"
    told = done.stderr.splitlines()
    assert told[0] == "err hello"
    assert told[1].startswith("t.parquet: ") and told[-1] == "The program's exit status was 3."
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"], "no log is left"


def test_the_trace_is_that_of_the_log(built: Path, tmp_path: Path, program: Callable[[str], str]) -> None:
    """The same program, its log written to disk and counted by hand."""
    done = recording.record([str(built), "0"], tmp_path / "t.parquet")
    assert (done.status, done.signal, done.partial, done.became) == (0, 0, False, "")
    log = tmp_path / "log"
    words = ["--tool=lackey", "--trace-mem=yes", "--basic-counts=no", f"--log-file={log}", str(built), "0"]
    subprocess.run([program("valgrind"), *words], check=True, stdin=subprocess.DEVNULL)
    lines = log.read_text().splitlines()
    by_hand = {kind: sum(line.startswith(kind) for line in lines) for kind in ("I ", " L", " S", " M")}
    # the loader's work differs a little with the environment and the command line
    assert done.converted.instructions == pytest.approx(by_hand["I "], rel=0.02)
    rows = columns(tmp_path / "t.parquet")
    kind = np.asarray(rows.kind)
    mine = int(0.25 * (1 << 19) / 128)  # stores to the 4 MiB block: one each 4 KiB
    anonymous = [
        r for r in Reader(tmp_path / "t.parquet").meta.regions if r.name == "anonymous" and r.end - r.start > 4e6
    ]
    assert len(anonymous) == 1
    inside = (rows.address >= anonymous[0].start) & (rows.address < anonymous[0].end)
    assert (inside & (kind == STORE) & (np.asarray(rows.size) == 8)).sum() >= mine == 1024
    assert (kind <= ATOMIC).sum() > 0.5 * (by_hand[" L"] + by_hand[" S"])


def test_regions_are_where_the_program_had_them(built: Path, tmp_path: Path) -> None:
    recording.record([str(built), "0"], tmp_path / "t.parquet")
    reader = Reader(tmp_path / "t.parquet")
    rows, meta = columns(tmp_path / "t.parquet"), reader.meta
    kind, site = np.asarray(rows.kind), np.asarray(rows.site)
    ranges = {r.name: r for r in meta.regions}
    assert {"heap", "stack", "anonymous", "program", "libc.so.6"} <= set(ranges)
    assert not [r for r in meta.regions if "valgrind/" in r.name or "lackey" in r.name]
    busiest = np.bincount(site[kind == LOAD]).argmax()  # the loop over the small block, which brk() gave
    address = rows.address[(site == busiest) & (kind == LOAD)]
    assert ((address >= ranges["heap"].start) & (address < ranges["heap"].end)).all()
    own = ranges["program"]
    table = rows.address[(kind == STORE) & (rows.address >= own.start) & (rows.address < own.end)]
    assert table.max() - table.min() >= (1 << 20) - 4096, "zeroed data belong to the program"
    in_a_region = np.zeros(len(kind), bool)
    for r in meta.regions:
        in_a_region |= (rows.address >= r.start) & (rows.address < r.end)
    assert in_a_region[kind <= ATOMIC].mean() > 0.99
    assert any(file.path == str(built) for file in meta.code)


@pytest.mark.parametrize("limit", [{"limit_s": 1.0}, {"limit_accesses": 200_000}])
def test_it_ends_at_its_limit(built: Path, tmp_path: Path, limit: dict[str, float]) -> None:
    trace = tmp_path / "t.parquet"
    done = recording.record([str(built), "0", "for-ever"], trace, **limit)  # type: ignore[arg-type]
    assert (done.status, done.signal, done.partial) == (None, 0, True)
    reader = Reader(trace)
    assert reader.meta.partial and reader.rows > 0
    if "limit_accesses" in limit:
        assert 200_000 <= done.converted.loads + done.converted.stores < 2_000_000
    assert not valgrinds(os.getpid())


def test_ctrl_c_keeps_what_it_has(built: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.parquet"
    words = ["trace", "record", "-o", str(trace), "--json", str(built), "0", "for-ever"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-m", "numasim", *words], **pipes, text=True)  # type: ignore[call-overload]
    part = tmp_path / f".t.parquet.{process.pid}.part"
    while not (part.exists() and valgrinds(process.pid)):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (130, "numasim: interrupted\n")
    found = json.loads(printed)
    assert (found["output"], found["signal"], found["status"], found["partial"]) == (str(trace), 2, None, True)
    meta = Reader(trace).meta
    assert meta.partial and meta.counts == {name: int(value) for name, value in found["converted"].items()}
    assert not valgrinds(process.pid)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def valgrinds(parent: int) -> list[str]:
    """Programs this test's numasim has under valgrind at the moment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"/proc/{parent}/fd/" in line:
                found.append(line)
    return found


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"status": 3}, "The program's exit status was 3."),
        ({"status": -signal.SIGSEGV}, "The program was ended by SIGSEGV."),
        ({"status": -signal.SIGILL}, "instructions that valgrind does not know (AVX-512)"),
        ({"status": None, "signal": 2, "partial": True}, "Stopped by SIGINT before the program ended"),
        ({"status": None, "partial": True}, "Stopped before the program ended"),
        ({"became": "/bin/sleep"}, "turned into /bin/sleep by exec"),
    ],
)
def test_how_it_ended_is_told(what: dict[str, object], told: str) -> None:
    converted = lackey.Converted(10, 9, 5, 4, 9, 2, 3, True, 7, 8, 0, exact=True)
    plain = recording.Recorded(converted, 1.0, 0, 0, False, "")
    usual = list(trace_record._lines("t.parquet", plain))
    assert usual[0].startswith("t.parquet: 5 loads, 4 stores and 9 instructions of 2 thread(s)")
    assert "15 lines outside" in usual[1] and "side by side" in usual[2]
    more = [line for line in trace_record._lines("t.parquet", plain._replace(**what)) if line not in usual]
    assert len(more) == 1 and told in more[0]


BAD = {
    "gone": (["./gone"], "./gone: no such program"),
    "not in path": (["no-such-program-there-is"], "no-such-program-there-is: no such program"),
    "folder": (["/tmp"], "/tmp: a folder"),
    "text": (["./text"], "./text: may not be executed"),
    "nothing": ([], "PROGRAM"),
    "place": (["/bin/true"], "cannot be written"),
    "names": (["--name", "x=y", "/bin/true"], "names no stretch"),
    "limit": (["--limit", "many", "/bin/true"], "no number of accesses"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_told_in_a_line(cli: Cli, tmp_path: Path, program: Callable[[str], str], case: str) -> None:
    program("valgrind")
    (tmp_path / "text").write_text("no program")
    words, expected = BAD[case]
    done = cli("trace", "record", "-o", "no/such/t.parquet" if case == "place" else "t.parquet", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and expected in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["text"]


def test_without_valgrind_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"valgrind is not installed.*apt install valgrind"):
        recording.record(["/bin/true"], tmp_path / "t.parquet")


AVX512 = """\
int main(void) {
    __asm__ volatile(".byte 0x62, 0xf1, 0x6d, 0x48, 0xfe, 0xd9"); /* vpaddd zmm3, zmm2, zmm1 */
    return 0;
}
"""


def test_an_instruction_valgrind_does_not_know(tmp_path: Path, program: Callable[[str], str]) -> None:
    program("valgrind")
    (tmp_path / "wide.c").write_text(AVX512)
    subprocess.run([program("gcc"), "-o", tmp_path / "wide", tmp_path / "wide.c"], check=True)
    with pytest.raises(UserError, match="instruction that valgrind does not know, such as one of AVX-512"):
        recording.record([str(tmp_path / "wide")], tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_a_program_that_turns_into_another_is_told(tmp_path: Path, program: Callable[[str], str]) -> None:
    program("valgrind")
    done = recording.record(["sh", "-c", "exec sleep 1"], tmp_path / "t.parquet")
    assert Path(done.became).name in ("sleep", "coreutils", "busybox")
    assert done.converted.instructions > 1000


def test_children_left_behind_do_not_hold_it_up(tmp_path: Path, program: Callable[[str], str]) -> None:
    """They have the log open, as valgrind leaves it to what it runs."""
    program("valgrind")
    start = time.monotonic()
    done = recording.record(["sh", "-c", "sleep 100 > /dev/null 2>&1 & exit 4"], tmp_path / "t.parquet")
    assert (done.status, done.partial) == (4, False)
    assert time.monotonic() - start < 100


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    out, into = os.pipe()
    process = subprocess.Popen(["true"])
    process.wait()
    log = recording.Log(out, process, "x")
    os.write(into, b"I  04001090,3\n L 1ffef")
    buffer = bytearray(1 << 16)
    assert log.readinto(memoryview(buffer)) == len(b"I  04001090,3\n")
    assert log.readinto(memoryview(buffer)) == 0
    os.close(out)
    os.close(into)
