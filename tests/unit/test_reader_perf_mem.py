"""Are perf's samples read as perf prints them, whichever fields were asked for; and what do they say?"""

import lzma
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from numasim.cli import trace_samples
from numasim.errors import UserError
from numasim.traces.readers import perf_mem
from numasim.traces.readers.perf_mem import Sample
from numasim.traces.samples import Samples

DATA = Path(__file__).parents[1] / "data" / "traces"
SCRIPT = DATA / "perf_mem.script.xz"


def read(text: str, folder: Path) -> list[Sample]:
    (folder / "script").write_text(text)
    return list(perf_mem.read(folder / "script"))


def test_all_samples_of_a_script() -> None:
    """Fields by their columns, which is another way than the reader's."""
    lines = lzma.decompress(SCRIPT.read_bytes()).decode().splitlines()
    samples = list(perf_mem.read(SCRIPT))
    assert len(samples) == len(lines) == 309
    for sample, line in zip(samples, lines, strict=True):
        before, _, after = line.partition("|")
        words = after.split()
        assert sample.operation == words[1].split("|")[0].lower()
        assert sample.address == int(before.split()[-2], 16)
        weight = int(words[-4])  # then ip, symbol+offset, (file)
        assert sample.cycles == (weight or -1)
        assert sample.symbol == words[-2].partition("+")[0]
        assert f"({sample.file})" == words[-1]
        assert sample.level in line


def test_places_are_those_the_data_sources_say() -> None:
    """The number before the words, by the kernel's encoding: mem_lvl in bits 5 to 18, mem_remote in bit 37."""
    bits = {0x8: "L1", 0x10: "LFB", 0x20: "L2", 0x40: "L3", 0x80: "local", 0x100: "remote", 0x400: "remote cache"}
    numbers = [
        int(found[1], 16) for found in re.finditer(r"([0-9a-f]+) \|OP", lzma.decompress(SCRIPT.read_bytes()).decode())
    ]
    expected = [bits[number >> 5 & 0x3FF8] for number in numbers]
    assert [sample.place for sample in perf_mem.read(SCRIPT)] == expected
    assert {"remote", "local"} < set(expected)


@pytest.mark.parametrize(
    ("level", "place"),
    [
        ("L1 hit", "L1"),
        ("L1 or L1 hit", "L1"),
        ("LFB/MAB or LFB/MAB hit", "LFB"),
        ("L2 or L2 hit", "L2"),
        ("L3 hit", "L3"),
        ("RAM hit", "local"),
        ("Local RAM hit", "local"),
        ("Local RAM or RAM hit", "local"),
        ("Remote RAM hit", "remote"),
        ("Remote RAM (1 hop) hit", "remote"),
        ("Remote Remote RAM (1 hop) or RAM hit", "remote"),
        ("Remote RAM (2 hops) hit", "remote"),
        ("Remote node, same socket RAM hit", "remote"),
        ("Remote Any cache hit", "remote cache"),
        ("Remote Cache (1 hop) hit", "remote cache"),
        ("Remote L3 hit", "remote cache"),
        ("Remote core, same node Any cache hit", "peer cache"),
        ("Any cache hit", "peer cache"),
        ("CXL hit", "cxl"),
        ("PMEM hit", "pmem"),
        ("Uncached hit", "uncached"),
        ("I/O hit", "io"),
        ("L3 miss", "unknown"),
        ("N/A or N/A", "unknown"),
        ("N/A", "unknown"),
    ],
)
def test_levels(level: str, place: str) -> None:
    assert perf_mem.place_of(level) == place


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (  # Arm SPE, without address and weight
            "       memstress  3603 [020]   122.463754:          1            l1d-miss:       8688000842 "
            "|OP LOAD|LVL L3 or L3 hit|SNP N/A|TLB Walker hit|LCK No|BLK  N/A               aaaac17c3e88 "
            "[unknown] (/home/ubuntu/memstress)",
            Sample("load", "L3", "L3 or L3 hit", -1, -1, "0xaaaac17c3e88", "/home/ubuntu/memstress"),
        ),
        (  # Intel, three weights
            "chromium-browse   46572 [002] 544966.882384:      10000 \tcpu_core/MEM_UOPS_RETIRED.LOAD_LATENCY/: "
            "7ffdf1391b0c     10268100142 |OP LOAD|LVL L1 hit|SNP None|TLB L1 or L2 hit|LCK No|BLK    N/A    "
            "5   7    0   7fad7c47425d [unknown] (/usr/lib64/libglib-2.0.so.0.8000.3)",
            Sample("load", "L1", "L1 hit", 0x7FFDF1391B0C, 5, "0x7fad7c47425d", "/usr/lib64/libglib-2.0.so.0.8000.3"),
        ),
        (  # data_src and weight alone
            "     10668100842 |OP LOAD|LVL L3 or L3 hit|SNP None|TLB L1 or L2 hit|LCK No|BLK  N/A\t\t    47",
            Sample("load", "L3", "L3 or L3 hit", -1, 47, "", ""),
        ),
        (  # cut off by perf
            "      3a69102042 |OP LOAD|LVL Remote Remote RAM (1 hop) or RAM hit|SNP None|TLB L1 or L2 hit|LCK N/"
            "             387",
            Sample("load", "remote", "Remote Remote RAM (1 hop) or RAM hit", -1, 387, "", ""),
        ),
        (
            "  sve-test 6516696.714341:  444000288100144 |OP STORE SIMD|LVL L1 hit|SNP None|TLB Walker hit|LCK No"
            "|BLK  N/A|AFF PRED SG",
            Sample("store simd", "L1", "L1 hit", -1, -1, "", ""),
        ),
        (
            "  100000    629080842 |OP LOAD|LVL L3 hit|SNP None|TLB L2 miss|LCK No     20       7e69b93ca524 strcmp",
            Sample("load", "L3", "L3 hit", -1, 20, "strcmp", ""),
        ),
        (  # an address of decimal digits, a symbol that is a hexadecimal number, another with spaces
            " a b 7 1.5: e: 10 5 |OP LOAD|LVL L2 hit|SNP None|TLB L1 hit|LCK No 12 401136 add (/bin/x (deleted))",
            Sample("load", "L2", "L2 hit", 0x10, 12, "add", "/bin/x (deleted)"),
        ),
        (
            " a 7/8 [003] 1.5: 1 cpu/mem-loads,ldlat=30/P: 10 5 |OP LOAD|LVL L2 hit|SNP None|TLB L1 hit|LCK Yes 12 "
            "401136 std::less<int>::operator()(int, int)+0x10 (/bin/x)",
            Sample("load", "L2", "L2 hit", 0x10, 12, "std::less<int>::operator()(int, int)", "/bin/x"),
        ),
    ],
)
def test_lines_of_other_machines_and_versions(line: str, expected: Sample, tmp_path: Path) -> None:
    assert read(line + "\n", tmp_path) == [expected]


def test_call_chains(tmp_path: Path) -> None:
    """The first frame is where the sample was taken."""
    source = "5 |OP LOAD|LVL L2 hit|SNP None|TLB L1 hit|LCK No 12"
    frames = "\t 401136 leaf (/bin/x)\n\t 401200 main (/bin/x)\n"
    samples = read(f"# comment\na 7 1.5: e: 10 {source}\n{frames}\na 7 1.6: e: 10 {source}\n\n", tmp_path)
    assert [(sample.symbol, sample.cycles) for sample in samples] == [("leaf", 12), ("", 12)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello\n", "script:1: not understood: 'hello'"),
        ("5 |OP LOAD|LVL L2 hit|SNP None|TLB L1 hit|LCK No 12\nOP LOAD\n", "script:2: not understood"),
        ("a 7 1.5: cycles: 401136 main (/bin/x)\n", "script:1: not understood"),
    ],
)
def test_what_is_no_sample_is_told_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(text, tmp_path)
    assert told in str(caught.value) and "\n" not in str(caught.value)


# ---- what they say ----


def sample(place: str, cycles: int, symbol: str = "f", address: int = 0x10000000) -> Sample:
    return Sample("load", place, place, address, cycles, symbol, "x")


def test_counts() -> None:
    samples = list(perf_mem.read(SCRIPT))
    found = Samples().add(samples)
    for groups, key in (
        (found.places(), lambda s: s.place),
        (found.by_site(), lambda s: f"{s.symbol} ({s.file})"),
        (found.by_region(), lambda s: "stack" if s.address > 0x7FF000000000 else "heap"),
    ):
        names = {group.name: "heap" if group.name.startswith("0x7f0a") else "stack" for group in groups}
        expected = Counter(key(s) for s in samples)
        assert [group.samples for group in groups] == sorted(expected.values(), reverse=True)
        assert sum(group.share for group in groups) == pytest.approx(1)
        for group in groups:
            name = names[group.name] if group.name.startswith("0x") else group.name
            cycles = [s.cycles for s in samples if key(s) == name and s.cycles > 0]
            assert (group.samples, group.timed) == (expected[name], len(cycles))
            assert group.mean == pytest.approx(np.mean(cycles))
            assert group.places == Counter(s.place for s in samples if key(s) == name)


def test_regions_are_split_where_64_mib_are_untouched() -> None:
    block, base = 2 << 20, 1 << 40
    addresses = [base, base + block - 1, base + 32 * block, base + 65 * block]
    found = Samples().add(sample("L1", 4, address=address) for address in addresses)
    names = sorted((group.name, group.samples) for group in found.by_region())
    assert names == [(f"{base:#x}-{base + 33 * block:#x}", 3), (f"{base + 65 * block:#x}-{base + 66 * block:#x}", 1)]


def test_what_if_is_the_mean_with_the_others_mean() -> None:
    rng = np.random.default_rng(7)
    local, remote, near = rng.integers(200, 300, 400), rng.integers(400, 700, 250), rng.integers(4, 8, 900)
    cycles = [("local", local), ("remote", remote), ("L1", near)]
    found = Samples().add(sample(place, int(c)) for place, some in cycles for c in some)
    told = found.what_if({"remote": "local"})
    everything = np.concatenate([local, remote, near])
    n = len(everything)
    assert told.before.value == pytest.approx(everything.mean())
    assert told.after.value == pytest.approx((local.sum() + 250 * local.mean() + near.sum()) / n)
    assert told.less.value == pytest.approx(1 - told.after.value / told.before.value)
    assert told.share.value == pytest.approx(250 / n)
    # the intervals: the normal one of a mean, the binomial one of a share
    half = 1.96 * everything.std() / np.sqrt(n)
    assert told.before.low == pytest.approx(told.before.value - half, abs=0.1 * half)
    assert told.before.high == pytest.approx(told.before.value + half, abs=0.1 * half)
    low, high = stats.binom.ppf([0.025, 0.975], n, 250 / n) / n
    assert (told.share.low, told.share.high) == (pytest.approx(low, abs=0.002), pytest.approx(high, abs=0.002))
    assert told.after.low < told.after.value < told.after.high


def test_several_moves_and_the_same_again() -> None:
    found = Samples().add([*[sample("a", 10)] * 5, *[sample("b", 20)] * 5, *[sample("c", 60)] * 10])
    told = found.what_if({"b": "a", "c": "b"})
    assert told.after.value == pytest.approx((5 * 10 + 5 * 10 + 10 * 20) / 20)
    assert told.share.value == pytest.approx(0.75)
    assert found.what_if({"b": "a", "c": "b"}) == told


def test_an_interval_covers_as_often_as_it_says() -> None:
    """Of 200 samplings of a known machine, about 95 % of the intervals hold its true gain."""
    rng = np.random.default_rng(3)
    truth = (0.7 * 5 + 0.3 * 200) / (0.7 * 5 + 0.1 * 200 + 0.2 * 500)
    covered = 0
    for seed in range(200):
        places = rng.choice(3, 300, p=[0.7, 0.1, 0.2])
        cycles = rng.exponential(np.array([5, 200, 500])[places]).astype(int) + 1
        found = Samples().add(sample(("L1", "local", "remote")[p], int(c)) for p, c in zip(places, cycles, strict=True))
        less = found.what_if({"remote": "local"}, 400, seed).less
        covered += less.low <= 1 - truth <= less.high
    assert stats.binomtest(covered, 200, 0.95).pvalue > 0.001


def test_places_without_time_cannot_be_moved() -> None:
    found = Samples().add([sample("local", 100), sample("remote", -1)])
    with pytest.raises(UserError, match=r"no timed sample was served from 'remote' \(expected one of local"):
        found.what_if({"remote": "local"})
    with pytest.raises(UserError, match="perf record -W"):
        Samples().add([sample("remote", -1)]).what_if({"remote": "local"})


# ---- the verb ----

app = typer.Typer()
app.command()(trace_samples.samples)
app.callback()(lambda: None)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["samples", *words], catch_exceptions=False)
    return str(done.stdout)


def test_the_verb_says_that_a_sample_is_no_trace() -> None:
    text = run(str(SCRIPT), "--what-if", "remote=local")
    assert "309 samples of memory accesses (307 load, 2 store). A sample is no trace" in text
    assert re.search(r"^remote +31 +10\.0 +518\.8$", text, re.M)
    assert "What if remote as local: 10.1 % of the samples" in text
    told = run(str(SCRIPT), "--what-if", "remote=local", "--json")
    assert '"note": "A sample is no trace' in told and '"moved"' in told


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("1e05080021 |OP N/A|LVL N/A|SNP N/A|TLB N/A|LCK N/A 0\n")
    for words, told in (
        ([str(tmp_path)], "cannot be read"),
        ([str(tmp_path / "none")], "no sample of a memory access"),
        ([""], "nothing is given"),
        ([str(SCRIPT), "--what-if", "remote"], "is no KEY=VALUE"),
        ([str(SCRIPT), "--what-if", "remote=moon"], "'moon'"),
    ):
        with pytest.raises(UserError, match=told):
            run(*words)
