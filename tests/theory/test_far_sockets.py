"""What a request of another socket waits for beyond the links, by closed forms."""

import pytest

import numasim as ns
from numasim.machine import load


def chase(machine, cpu, node):
    result = ns.run(machine, "chase", size="8MiB", warmup=0, pages="2m", membind=node, physcpubind=cpu)
    return result.access.mean_ns


def handover(machine, cpus):
    """ns one way of a line that two cores write in turn."""
    result = ns.run(machine, "pingpong", laps=200, physcpubind=cpus)
    return result.simulated_ns / result.access.count


@pytest.fixture(scope="module")
def plain():
    return load("teaching-2s")


def test_a_memory_answers_another_socket_later_by_what_it_says(plain):
    slow = load("teaching-2s", set={"memory.dram.remote_ns": 55})
    there = plain.topology.node_cpus(1)[0]
    assert chase(slow, 0, 1) - chase(plain, 0, 1) == pytest.approx(55, abs=0.2)
    assert chase(slow, there, 0) - chase(plain, there, 0) == pytest.approx(55, abs=0.2)
    assert chase(slow, 0, 0) == chase(plain, 0, 0)
    assert slow.topology.unloaded_ns(0, 1) == pytest.approx(plain.topology.unloaded_ns(0, 1) + 55)


def test_a_line_of_another_socket_comes_later_by_what_the_fabric_says(plain):
    slow = load("teaching-2s", set={"fabric.snoop_remote_ns": 40})
    across = f"0,{plain.topology.node_cpus(1)[0]}"
    assert handover(slow, across) - handover(plain, across) == pytest.approx(40, rel=0.02)
    assert handover(slow, "0,1") == handover(plain, "0,1")
