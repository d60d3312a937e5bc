"""Are workloads found, described and made from keys, and bad keys refused in one line?"""

import subprocess
import sys

import pytest

from numasim.errors import UserError
from numasim.workloads import describe, make, names
from unit.test_workloads import context


def test_all_are_found_and_described() -> None:
    expected = {
        "chase",
        "list",
        "slice",
        "map",
        "tree",
        "listmap",
        "stream",
        "c2c",
        "pingpong",
        "lock",
        "loaded",
        "trace",
    }
    assert expected <= set(names())
    for name in names():
        description = describe(name)
        assert description.doc.endswith(".") and "\n" not in description.doc
        for key in description.keys:
            assert key.doc and key.type
            assert make(name, {key.name: key.default}) is not None
    (size,) = [key for key in describe("chase").keys if key.name == "size"]
    assert (size.type, size.unit, size.default) == ("size", "bytes", "64MiB")


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("chas", {}, "workload: unknown workload 'chas' (expected one of c2c chains chase"),
        ("list", {"lenght": 5}, "workload list: unknown key 'lenght' (expected one of "),
        ("list", {"length": 0}, "workload list, key length: 0 is out of range (expected 1 to 67,108,864)"),
        ("list", {"length": "1e12"}, "workload list, key length: 1,000,000,000,000 is out of range"),
        ("list", {"length": "many"}, "workload list, key length: 'many' is not a number"),
        ("list", {"length": "1.5"}, "workload list, key length: '1.5' is not a whole number"),
        ("list", {"length": "-3"}, "workload list, key length: '-3' is not a number"),
        ("list", {"layout": "rust"}, "workload list, key layout: 'rust' is unknown (expected go or std"),
        ("list", {"boxed": "maybe"}, "workload list, key boxed: 'maybe' is neither (expected yes or no)"),
        ("list", {"churn": "nan"}, "workload list, key churn: nan is out of range"),
        ("chase", {"size": "100"}, "workload chase, key size: 100 bytes (expected a multiple of 64)"),
        ("chase", {"size": "1000TiB"}, "workload chase, key size: 1,099,511,627,776,000 bytes is out of range"),
        (
            "tree",
            {"dist": "zipf"},
            "workload tree, key dist: 'zipf' is no key distribution (expected uniform, or zipf:S",
        ),
        ("tree", {"dist": "zipf:-1"}, "workload tree, key dist: 'zipf:-1' is no key distribution"),
        ("tree", {"writes": "2"}, "workload tree, key writes: '2' is out of range (expected 0 to 1)"),
        ("stream", {"ratio": "1:2"}, "workload stream, key ratio: '1:2' is impossible (expected reads >= writes"),
        ("loaded", {"delay": "-1"}, "workload loaded, key delay: '-1' is not a number"),
    ],
)
def test_a_bad_key_is_one_line(name: str, keys: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        make(name, keys)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "threads", "keys", "message"),
    [
        ("chase", 1, {"size": "64k", "order": "stride", "stride": 640}, "workload chase, key stride"),
        ("chase", 1, {"size": 640, "within": "page"}, "workload chase, key size"),
        ("list", 1, {"layout": "packed", "allocator": "malloc"}, "workload list, key allocator"),
        ("map", 1, {"value": 136}, "workload map, key value"),
        ("map", 1, {"value": 12}, "workload map, key value"),
        ("listmap", 1, {"maps": "1e6", "length": "1e6"}, "workload listmap, key maps"),
        ("stream", 1, {"access": 24}, "workload stream, key access"),
        ("stream", 1, {"writes": 0.5, "ratio": "2:1"}, "workload stream, key writes"),
        ("stream", 1, {"size": 64, "streams": 2}, "workload stream, key streams"),
        ("pingpong", 3, {}, "workload pingpong, key threads"),
        ("c2c", 1, {}, "workload c2c, key threads"),
        ("trace", 1, {}, "workload trace, key file"),
    ],
)
def test_keys_that_contradict_are_one_line(name: str, threads: int, keys: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        make(name, keys).build(context(threads))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_package_is_light() -> None:
    code = "import sys, numasim.workloads as w; w.names(); print([m for m in sys.modules if m in %r])"
    heavy = ("numba", "pyarrow", "networkx", "scipy", "matplotlib", "rich", "simpy")
    out = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
