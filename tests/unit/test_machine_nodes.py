"""Do node sets and CPU lists mean what numactl(8), numa_parse_nodestring(3) and taskset(1) say?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.machine.nodes import format_list, parse_cpus, parse_nodes


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("0", (0,)),
        ("0,2", (0, 2)),
        ("2,0,2", (0, 2)),
        ("0-3", (0, 1, 2, 3)),
        ("0,2-3", (0, 2, 3)),
        ("all", (0, 1, 2, 3)),
        ("!0", (1, 2, 3)),
        ("!1-2", (0, 3)),
        ("+0", (0,)),
        ("+1-2,3", (1, 2, 3)),
        ("!+0", (1, 2, 3)),
        (" 1 , 2 ", (1, 2)),
    ],
)
def test_node_sets(text: str, nodes: tuple[int, ...]) -> None:
    assert parse_nodes(text, range(4)) == nodes


def test_plus_counts_within_what_is_available() -> None:
    assert parse_nodes("+0", [1, 3]) == (1,)
    assert parse_nodes("+0-1", [1, 3]) == (1, 3)
    assert parse_nodes("!+1", [1, 3]) == (1,)
    assert parse_nodes("all", [1, 3]) == (1, 3)
    assert parse_nodes("!1", [1, 3]) == (3,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no list of nodes"),
        ("0,", "no list of nodes"),
        ("a", "no list of nodes"),
        ("-1", "no list of nodes"),
        ("0--1", "no list of nodes"),
        ("0 1", "no list of nodes"),
        ("0-2:2", "no list of nodes"),
        ("!!0", "no list of nodes"),
        ("3-1", "'3-1' runs backwards"),
        ("4", r"-N: no node 4 \(expected 0-3\)"),
        ("!4", "no node 4"),
        ("+4", r"no node \+4 \(expected \+0 to \+3\)"),
        ("!0-3", r"leaves no node \(expected at least one of 0-3\)"),
        ("!all", "leaves no node"),
        ("0-99999999999999", "no node 99999999999999"),
    ],
)
def test_wrong_node_sets_are_answered(text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        parse_nodes(text, range(4), "-N")


def test_cpu_lists() -> None:
    assert parse_cpus("0,5,8-11", range(16)) == (0, 5, 8, 9, 10, 11)
    assert parse_cpus("0-31:2", range(32)) == tuple(range(0, 32, 2))
    assert parse_cpus("+0-2:2", [4, 5, 6]) == (4, 6)
    assert parse_cpus("!0-13", range(16)) == (14, 15)
    for bad in ("0-3:0", "0:2", "0-40"):
        with pytest.raises(UserError):
            parse_cpus(bad, range(32))


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_written_is_read_back(numbers: set[int]) -> None:
    assert parse_cpus(format_list(numbers), range(301)) == tuple(sorted(numbers))


def test_lists_are_written_as_the_kernel_does() -> None:
    assert format_list([*range(36), *range(72, 108)]) == "0-35,72-107"
    assert format_list([5, 3, 1]) == "1,3,5"
    assert format_list([]) == ""
