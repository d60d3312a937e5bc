"""Which node does each page get? Against a model of the kernel's policies that takes one page at a time."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.memory import AddressSpace, Placement, page_owner_nodes, pages_per_node, table_pages_per_node
from numasim.memory.capacity import NodeMemory, size_text
from numasim.memory.placement import Policy

PAGE = 4096
MIB, GIB = 1 << 20, 1 << 30


@dataclass
class Machine:
    """A stand-in with what numasim.memory reads of a machine: free bytes by node, and distances."""

    bytes_by_node: dict[int, int]
    distances: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def memory(self):
        return {f"m{n}": SimpleNamespace(nodes=(n,), size_bytes=size) for n, size in self.bytes_by_node.items()}

    @property
    def topology(self):
        return SimpleNamespace(distance=lambda a, b: self.distances.get((a, b), 10 if a == b else 21))

    @property
    def tlb(self):
        return SimpleNamespace(walk="native")


# ---- the oracle: one page at a time -------------------------------------------------------------------------------


def fallback_list(machine: Machine, near: int) -> list[int]:
    """As build_zonelists asks find_next_best_node again and again."""
    left, order = set(machine.bytes_by_node), []
    if near in left:
        order.append(near)
        left.remove(near)
    while left:
        best = min(sorted(left), key=lambda n: machine.topology.distance(near, n) + (n < near))
        order.append(best)
        left.remove(best)
    return order


class KernelTask:
    """A task's memory policy with the counters il_prev and il_weight of struct task_struct."""

    def __init__(self, machine: Machine, placement: Placement, free: dict[int, int]) -> None:
        self.machine, self.placement, self.free = machine, placement, free
        self.il_prev, self.il_weight = 10**6, 0

    def _next_in_mask(self) -> int:
        above = [n for n in self.placement.nodes if n > self.il_prev]
        return min(above) if above else min(self.placement.nodes)

    def fault(self, touch_node: int) -> int | None:
        """Node of the next page, None if there is no room (the process would be killed)."""
        mode, nodes = self.placement.mode, self.placement.nodes
        if mode == "local":
            tries = fallback_list(self.machine, touch_node)
        elif mode == "bind":
            tries = [n for n in fallback_list(self.machine, touch_node) if n in nodes]
        elif mode == "preferred" and len(nodes) == 1:
            tries = fallback_list(self.machine, nodes[0])
        elif mode == "preferred":
            every = fallback_list(self.machine, touch_node)
            tries = [n for n in every if n in nodes] + every
        elif mode == "interleave":
            self.il_prev = self._next_in_mask()
            tries = fallback_list(self.machine, self.il_prev)
        else:
            if self.il_weight == 0:
                self.il_prev = self._next_in_mask()
                self.il_weight = dict(zip(nodes, self.placement.weights, strict=True))[self.il_prev]
            self.il_weight -= 1
            tries = fallback_list(self.machine, self.il_prev)
        for node in tries:
            if self.free[node] >= 1:
                self.free[node] -= 1
                return node
        return None


@st.composite
def machines_and_policies(draw):
    nodes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True))
    pages = {n: draw(st.integers(0, 40)) for n in nodes}
    distances = {(a, b): draw(st.integers(11, 14)) for a in nodes for b in nodes if a != b}
    mode = draw(st.sampled_from(["local", "bind", "preferred", "interleave", "weighted"]))
    mask = draw(st.lists(st.sampled_from(nodes), min_size=1, unique=True))
    weights = [draw(st.integers(1, 6)) for _ in mask] if mode == "weighted" else []
    placement = Placement(mode, () if mode == "local" else tuple(mask), tuple(weights))
    steps = draw(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(nodes)), min_size=1, max_size=4))
    return Machine({n: p * PAGE for n, p in pages.items()}, distances), placement, steps


@settings(max_examples=300, deadline=None)
@given(machines_and_policies())
def test_every_page_lands_where_the_kernel_would_put_it(case):
    machine, placement, steps = case
    memory = NodeMemory(machine)
    policy = Policy(placement, memory)
    kernel = KernelTask(machine, placement, {n: size // PAGE for n, size in machine.bytes_by_node.items()})
    for count, touch_node in steps:
        expected = [kernel.fault(touch_node) for _ in range(count)]
        if None in expected:
            with pytest.raises(UserError, match="needs"):
                policy.place("r", 0, count, touch_node)
            return
        assert policy.place("r", 0, count, touch_node).tolist() == expected
        assert memory.free == {n: pages * PAGE for n, pages in kernel.free.items()}


def test_weighted_interleave_is_the_example_of_the_kernels_documentation():
    # numa_memory_policy.rst: nodes [0,1] with weights [5,2]: 5 pages on node 0 for every 2 on node 1
    policy = Policy(Placement("weighted", (0, 1), (5, 2)), NodeMemory(Machine({0: GIB, 1: GIB})))
    assert policy.place("a", 0, 16, 0).tolist() == [0, 0, 0, 0, 0, 1, 1] * 2 + [0, 0]
    assert policy.place("b", 0, 5, 1).tolist() == [0, 0, 0, 1, 1]  # the counter goes on


def test_distance_decides_who_takes_over_and_ties_go_to_the_next_node():
    machine = Machine(dict.fromkeys(range(4), 4 * PAGE), {(1, 0): 20, (1, 2): 20, (1, 3): 16})
    assert NodeMemory(machine).nearest_first(1) == (1, 3, 2, 0)
    nodes = Policy(Placement("preferred", (1,)), NodeMemory(machine)).place("r", 0, 16, 0)
    assert nodes.tolist() == [1] * 4 + [3] * 4 + [2] * 4 + [0] * 4


def test_a_cpu_node_without_memory_uses_the_nearest_memory():
    machine = Machine({4: GIB, 5: GIB}, {(0, 4): 30, (0, 5): 20})
    assert set(Policy(Placement(), NodeMemory(machine)).place("r", 0, 3, 0).tolist()) == {5}


# ---- through the address space ------------------------------------------------------------------------------------


def two_nodes(gib=1):
    return Machine({0: gib * GIB, 1: gib * GIB})


def owners(space: AddressSpace, region) -> dict[int, int]:
    nodes, counts = np.unique(page_owner_nodes(space.finish(), region), return_counts=True)
    return dict(zip(nodes.tolist(), counts.tolist(), strict=True))


def test_first_touch_decides_where_local_memory_is():
    space = AddressSpace(two_nodes(), 1)
    a, b = space.region("a", 10 * PAGE, touch_node=1), space.region("b", 10 * PAGE)
    assert owners(space, a) == {1: 10}
    assert owners(space, b) == {0: 10}


def test_interleaving_goes_on_from_region_to_region_but_a_regions_own_starts_anew():
    space = AddressSpace(two_nodes(), 1, placement=Placement("interleave", (0, 1)))
    own = Placement("interleave", (0, 1))
    regions = [space.region("a", 3 * PAGE), space.region("own", 3 * PAGE, placement=own), space.region("b", 3 * PAGE)]
    pages = space.finish()
    assert [page_owner_nodes(pages, r).tolist() for r in regions] == [[0, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_huge_pages_interleave_by_huge_page_and_a_thp_tail_takes_part():
    space = AddressSpace(two_nodes(), 1, pages="thp", placement=Placement("interleave", (0, 1)))
    region = space.region("r", 3 * 2 * MIB + 2 * PAGE + 1)
    pages = space.finish()
    assert page_owner_nodes(pages, region).tolist() == [0, 1, 0, 1, 0, 1]
    assert pages_per_node(pages, region) == {0: (1, 2, 0), 1: (2, 1, 0)}


@pytest.mark.parametrize("pages", ["4k", "2m", "1g", "thp"])
def test_preferred_falls_over_when_the_node_is_full(pages):
    space = AddressSpace(two_nodes(2), 1, pages, Placement("preferred", (1,)))
    region = space.region("r", 3 * GIB)
    found = pages_per_node(space.finish(), region)
    sizes = np.array([PAGE, 2 * MIB, GIB])
    assert {node: int(sizes @ counts) for node, counts in found.items()} == {1: 2 * GIB, 0: GIB}


def test_bind_that_does_not_fit_names_node_and_sizes():
    space = AddressSpace(two_nodes(), 1, placement=Placement("bind", (1,)))
    space.region("first", 512 * MIB)
    space.region("list", 700 * MIB)
    with pytest.raises(UserError) as error:
        space.finish()
    assert str(error.value) == (
        "--membind=1: region 'list' needs 700 MiB, node 1 has 1 GiB (512 MiB free) "
        "(expected at most 512 MiB, more nodes, or --preferred)"
    )


def test_bind_fills_a_node_to_its_last_page():
    space = AddressSpace(two_nodes(), 1, placement=Placement("bind", (1,)))
    region = space.region("r", GIB)
    pages = space.finish()
    assert pages_per_node(pages, region) == {1: (GIB // PAGE, 0, 0)}
    assert table_pages_per_node(pages) == {0: 512 + 3}  # no page left there for 512 PTs, a PD, a PDPT and the root
    space.region("one more", 1)
    with pytest.raises(UserError, match="node 1 has 1 GiB"):
        space.finish()


def test_a_machine_that_is_too_small_says_so():
    space = AddressSpace(two_nodes(), 1, pages="2m")
    space.region("r", 3 * GIB)
    with pytest.raises(UserError, match="needs 3 GiB, nodes 0,1 have 2 GiB"):
        space.finish()


def test_page_tables_follow_the_tasks_policy_and_not_the_regions():
    bound, own = Placement("bind", (1,)), Placement("bind", (0,))
    for space_policy, region_policy, data, tables in (
        (bound, None, 1, 1),
        (bound, own, 0, 1),
        (Placement(), bound, 1, 0),
    ):
        space = AddressSpace(two_nodes(), 1, placement=space_policy)
        region = space.region("r", 5 * MIB, placement=region_policy)
        pages = space.finish()
        assert list(pages_per_node(pages, region)) == [data]
        assert table_pages_per_node(pages) == {tables: 3 + 1 + 1 + 1}


def test_page_tables_of_a_first_touch_region_are_where_the_toucher_runs():
    space = AddressSpace(two_nodes(), 1, home_node=0)
    space.region("r", 4 * MIB, touch_node=1)
    assert table_pages_per_node(space.finish()) == {0: 1, 1: 2 + 1 + 1}  # the root was made when the process began


def test_page_tables_can_be_put_on_one_node():
    space = AddressSpace(two_nodes(), 1, placement=Placement("bind", (0,)), page_tables=1)
    space.region("r", 5 * MIB)
    assert table_pages_per_node(space.finish()) == {1: 6}


# ---- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "nodes", "text"),
    [
        ("-l", (), "--localalloc"),
        ("--membind", (1, 0), "--membind=0,1"),
        ("m", (1,), "--membind=1"),
        ("preferred", (1,), "--preferred=1"),
        ("--preferred-many", (2, 1), "--preferred-many=1,2"),
        ("-i", (0, 2), "--interleave=0,2"),
        ("-w", (2, 0), "--weighted-interleave=0,2 (weights 1,1)"),
    ],
)
def test_numactls_words_are_read_and_written(option, nodes, text):
    assert str(Placement.numactl(option, nodes)) == text


def test_weights_stay_with_their_nodes():
    placement = Placement("weighted", (3, 1), (7, 2))
    assert (placement.nodes, placement.weights) == ((1, 3), (2, 7))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Placement("bound", (0,)),
        lambda: Placement("bind"),
        lambda: Placement("local", (0,)),
        lambda: Placement("interleave", (0, 0)),
        lambda: Placement("bind", (-1,)),
        lambda: Placement("interleave", (0, 1), (1, 2)),
        lambda: Placement("weighted", (0, 1), (1,)),
        lambda: Placement("weighted", (0, 1), (0, 1)),
        lambda: Placement("weighted", (0, 1), (1, 256)),
        lambda: Placement.numactl("--membnd", (0,)),
        lambda: Placement.numactl("--preferred", (0, 1)),
        lambda: AddressSpace(two_nodes(), 1, placement=Placement("bind", (0, 2))),
        lambda: AddressSpace(two_nodes(), 1, page_tables=5),
        lambda: AddressSpace(two_nodes(), 1, home_node=-1),
        lambda: AddressSpace(two_nodes(), 1).region("r", 1, placement=Placement("interleave", (7,))),
    ],
)
def test_impossible_policies_are_a_users_error_in_one_line(make):
    with pytest.raises(UserError) as error:
        make()
    assert "\n" not in str(error.value)
    assert "expected" in str(error.value)


def test_sizes_read_well():
    assert [size_text(n) for n in (1, 4096, 3 * MIB // 2, 128 * GIB, 1 << 44)] == [
        "1 bytes",
        "4 KiB",
        "1.5 MiB",
        "128 GiB",
        "16 TiB",
    ]
