"""Are the parts of the native benchmark right: one cycle through all places, buckets, lists, words of a plan?"""

import ctypes
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from numasim.calibration import native
from numasim.workloads.chase import Cycle

LINE, PAGE = 64, 4096


class Random(ctypes.Structure):
    _fields_ = (("state", ctypes.c_uint64),)


@pytest.fixture(scope="module")
def parts(program, tmp_path_factory) -> ctypes.CDLL:
    """The program as a library."""
    made = tmp_path_factory.mktemp("native") / "parts.so"
    files = [str(path) for path in native.sources() if path.suffix == ".c"]
    subprocess.run(
        [program("cc"), *native.FLAGS, "-O1", "-shared", "-fPIC", "-o", str(made), *files, "-lm"], check=True
    )
    library = ctypes.CDLL(str(made))
    library.chain_pages.restype = ctypes.c_void_p
    library.histogram_low.restype = library.histogram_high.restype = ctypes.c_uint64
    library.random_next.restype = library.splitmix64.restype = ctypes.c_uint64
    return library


def seeded(parts: ctypes.CDLL, seed: int) -> Random:
    found = Random()
    parts.random_seed(ctypes.byref(found), ctypes.c_uint64(seed))
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 64, 1000])
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_random_cycle_is_one_cycle(parts, count, seed):
    following = (ctypes.c_uint32 * count)()
    parts.random_cycle(following, count, ctypes.byref(seeded(parts, seed)))
    place, seen = 0, []
    for _ in range(count):
        seen.append(place)
        place = following[place]
    assert place == 0 and sorted(seen) == list(range(count))


def test_all_cycles_are_equally_likely(parts):
    """Of four places there are 3! cycles; a chi-square of 5 degrees of freedom stays below its 99.9 % point, 20.5."""
    random, following = seeded(parts, 7), (ctypes.c_uint32 * 4)()
    found = Counter()
    for _ in range(6000):
        parts.random_cycle(following, 4, ctypes.byref(random))
        found[tuple(following)] += 1
    assert len(found) == 6
    assert sum((count - 1000) ** 2 / 1000 for count in found.values()) < 20.5


def test_random_order_is_a_permutation(parts):
    order = (ctypes.c_uint32 * 500)()
    parts.random_order(order, 500, ctypes.byref(seeded(parts, 3)))
    assert sorted(order) == list(range(500)) and list(order) != list(range(500))


def test_splitmix64_as_published(parts):
    """The first numbers of Vigna's splitmix64.c begun at 1234567; its state steps by the golden ratio."""
    golden, expected = 0x9E3779B97F4A7C15, [6457827717110365317, 3203168211198807973, 9817491932198370423]
    for number, value in enumerate(expected, 1):
        state = (1234567 + number * golden) % 2**64
        undone = state * pow(golden, -1, 2**64) % 2**64  # the function multiplies what it is given
        assert parts.splitmix64(ctypes.c_uint64(undone)) == value


def followed(memory: ctypes.Array, start: int, count: int) -> list[int]:
    """Offsets that a chain visits, beginning at `start`, and where it goes on."""
    base, at, seen = ctypes.addressof(memory), start, []
    for _ in range(count + 1):
        seen.append(at)
        at = ctypes.c_uint64.from_buffer(memory, at).value - base
    return seen


def buffer(size: int) -> ctypes.Array:
    return (ctypes.c_char * size)()


def test_random_chain_visits_every_line_once(parts):
    memory = buffer(300 * LINE)
    parts.chain_random(memory, 300, ctypes.c_size_t(LINE), ctypes.byref(seeded(parts, 1)))
    seen = followed(memory, 0, 300)
    assert sorted(seen[:-1]) == list(range(0, 300 * LINE, LINE)) and seen[-1] == 0


@pytest.mark.parametrize("spacing", [64, 128])
def test_chain_by_pages_finishes_a_page_before_the_next(parts, spacing):
    size, per = 16 * PAGE, PAGE // spacing
    memory = buffer(size)
    start = parts.chain_pages(memory, ctypes.c_size_t(size), ctypes.c_size_t(spacing), ctypes.byref(seeded(parts, 1)))
    first = start - ctypes.addressof(memory)
    seen = followed(memory, first, size // spacing)
    assert seen[-1] == first and sorted(seen[:-1]) == list(range(0, size, spacing))
    pages = [at // PAGE for at in seen[:-1]]
    assert all(len(set(pages[i : i + per])) == 1 for i in range(0, len(pages), per))
    assert pages[::per] != sorted(pages[::per])
    assert len({tuple(at % PAGE for at in seen[i : i + per]) for i in range(0, size // spacing, per)}) > 1


@pytest.mark.parametrize("stride", [64, 128, 256, 4096])
def test_strides_are_those_of_the_simulated_chase(parts, stride):
    size = 8 * PAGE
    memory = buffer(size)
    parts.chain_stride(memory, ctypes.c_size_t(size), ctypes.c_size_t(stride))
    twin = Cycle(size, "stride", stride, "all", np.random.default_rng(0))
    assert followed(memory, 0, size // LINE)[:-1] == twin.offsets(0, twin.count).tolist()


def test_buckets_of_histograms_adjoin_and_are_narrow(parts):
    """57 doublings of 64 buckets behind 128 of one value each: all 64-bit numbers."""
    low = [parts.histogram_low(bucket) for bucket in range(128 + 57 * 64)]
    high = [parts.histogram_high(bucket) for bucket in range(128 + 57 * 64)]
    assert low[0] == 0 and high[-1] == 2**64 - 1
    assert all(one + 1 == other for one, other in zip(high, low[1:], strict=False))
    assert all(b - a <= a / 64 for a, b in zip(low, high, strict=True))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0", [0]),
        ("0-3,8", [0, 1, 2, 3, 8]),
        ("", []),
        ("5-5", [5]),
        ("3-1", None),
        ("a", None),
        ("1,,2", None),
        ("-1", None),
    ],
)
def test_lists_of_numbers(parts, text, numbers):
    found = (ctypes.c_int * 20)()
    count = parts.list_parse(text.encode(), found, 20)
    assert (list(found[:count]) if count >= 0 else None) == numbers


# Two sockets of two nodes, each node of two cores of two threads; an L3 a socket; memory on nodes 0, 1 and 3.


def put(folder: Path, name: str, text: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def sysfs(tmp_path) -> Path:
    cpus, nodes = "sys/devices/system/cpu", "sys/devices/system/node"
    put(tmp_path, f"{cpus}/online", "0-15")
    for cpu in range(16):
        core, node = cpu % 8, cpu % 8 // 2
        place = f"{cpus}/cpu{cpu}"
        put(tmp_path, f"{place}/topology/physical_package_id", node // 2)
        put(tmp_path, f"{place}/topology/core_id", core % 4)
        socket = node // 2 * 4
        for index, (level, size, shared) in enumerate(
            [(1, "32K", core), (2, "1024K", core), (3, "16384K", f"{socket}-{socket + 3},{socket + 8}-{socket + 11}")]
        ):
            put(tmp_path, f"{place}/cache/index{index}/level", level)
            put(tmp_path, f"{place}/cache/index{index}/type", "Data" if level == 1 else "Unified")
            put(tmp_path, f"{place}/cache/index{index}/size", size)
            put(tmp_path, f"{place}/cache/index{index}/shared_cpu_list", shared)
    put(tmp_path, f"{nodes}/online", "0-3")
    put(tmp_path, f"{nodes}/has_memory", "0-1,3")
    for node in range(4):
        put(tmp_path, f"{nodes}/node{node}/cpulist", f"{2 * node}-{2 * node + 1},{2 * node + 8}-{2 * node + 9}")
        put(tmp_path, f"{nodes}/node{node}/meminfo", f"Node {node} MemFree:   {1000000 * (node != 2)} kB")
    return tmp_path


def planned(lines: str, root: Path, *words: str) -> list[str]:
    done = native.build().call(["plan", "-", f"root={root}", *words], stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("clock", ["run clock cpu=0"]),
        ("clock # a comment", ["run clock cpu=0"]),
        ("clock cpu=each-node", [f"run clock cpu={cpu}" for cpu in (0, 2, 4, 6)]),
        ("clock cpu=each", [f"run clock cpu={cpu}" for cpu in range(8)]),
        ("clock cpu=99", ["skip clock cpu=99 # this process may not run on that CPU, or there is none"]),
        ("chase node=local size=4k", ["run chase cpu=0 node=0 size=4k"]),
        ("chase size=2k,4k node=each", [f"run chase cpu=0 node={n} size={s}" for n in (0, 1, 3) for s in ("2k", "4k")]),
        ("chase cpu=2 node=remote", ["run chase cpu=2 node=0", "run chase cpu=2 node=3"]),
        ("chase cpu=4", ["skip chase cpu=4 node=local # the node of the CPU has no memory"]),
        ("chase size=0.5*l1,2*l3", [f"run chase cpu=0 node=0 size={size}" for size in (16384, 32 << 20)]),
        ("chase size=1*l4", ["skip chase cpu=0 node=0 size=1*l4 # the size of that cache is not known here"]),
        ("chase size=1g", ["skip chase cpu=0 node=0 size=1g # more than 70 % of the free memory"]),
        ("tlb pages=2m count=64,1k", [
            "run tlb cpu=0 node=0 pages=2m count=64",
            "skip tlb cpu=0 node=0 pages=2m count=1k # more than 70 % of the free memory",
        ]),
        ("bandwidth size=1m cpus=1,half,all", [
            "run bandwidth cpu=0 node=0 size=1m cpus=0",
            "run bandwidth cpu=0 node=0 size=1m cpus=0-1",
        ]),
        ("bandwidth size=1m cpus=3", ["skip bandwidth cpu=0 node=0 size=1m cpus=3 # the node has too few CPUs"]),
        ("loaded cpu=3 size=1m cpus=rest buffer=1m from=remote", [
            "run loaded cpu=3 node=1 size=1m cpus=2 buffer=1m from=0",
            "run loaded cpu=3 node=1 size=1m cpus=2 buffer=1m from=3",
        ]),
        ("pingpong other=each-kind", [f"run pingpong cpu=0 node=0 other={cpu}" for cpu in (1, 4, 8)]),
        ("pingpong other=sibling", ["run pingpong cpu=0 node=0 other=8"]),
        ("pingpong other=same-node", ["skip pingpong cpu=0 node=0 other=same-node # there is no such other CPU"]),
        ("pingpong cpu=5,6 node=0 other=above", [
            f"run pingpong cpu={one} node=0 other={other}" for one, other in [(5, 6), (5, 7), (6, 7)]
        ]),
        ("migrate to=remote", [f"run migrate cpu=0 node=0 to={node}" for node in (1, 3)]),
    ],
)  # fmt: skip
def test_words_of_a_plan(line, expected, sysfs):
    assert planned(line, sysfs) == expected


def test_every_pair_once(sysfs):
    found = planned("pingpong cpu=each node=0 other=above", sysfs)
    assert len(found) == len(set(found)) == 8 * 7 // 2


def test_first_is_the_given_cpu(sysfs):
    assert planned("clock\nchase size=4k", sysfs, "cpu=6") == ["run clock cpu=6", "run chase cpu=6 node=3 size=4k"]


@pytest.mark.parametrize(
    "line", ["nothing", "chase size", "chase node=far", "chase size=x", "clock size=1k", "pingpong other=me"]
)
def test_wrong_plan_is_told(line, sysfs):
    done = native.build().call(["plan", "-", f"root={sysfs}"], stdin=line)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
