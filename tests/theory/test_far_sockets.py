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


def modified(machine, writer, reader, home):
    """ns of a read of a line that a core of the writer's node has modified, homed in one of both nodes."""
    cpus = f"{machine.topology.node_cpus(writer)[0]},{machine.topology.node_cpus(reader)[0]}"
    words = {"state": "hitm", "home": home, "pages": "2m", "laps": 4, "physcpubind": cpus}
    return ns.run(machine, "c2c", **words).groups["reader"].access.mean_ns


@pytest.mark.parametrize(("tracked", "writer", "reader", "more"), [
    ("domain", 0, 1, 60), ("socket", 0, 1, 0), ("domain", 0, 2, 60), ("socket", 0, 2, 60), ("socket", 3, 0, 60),
])  # fmt: skip
def test_a_home_reads_its_directory_for_lines_it_does_not_track(tracked, writer, reader, more):
    """Homed in the writer's node, the home knows of the line; in the reader's, of what it tracks."""
    machine, free = quarters(tracked, 60), quarters(tracked, 0)
    slower = modified(machine, writer, reader, "reader") - modified(free, writer, reader, "reader")
    assert slower == pytest.approx(more, rel=0.03)
    assert modified(machine, writer, reader, "writer") == modified(free, writer, reader, "writer")


def quarters(tracked, directory_ns):
    """Two sockets of two clusters."""
    return load("icx-8360y-2s-snc2", set={"fabric.directory_ns": directory_ns, "fabric.tracked": tracked})


@pytest.mark.parametrize(("name", "tracked", "read"), [
    ("teaching-2s", "socket", [0, 1, 1, 0]),
    ("icx-8360y-2s-snc2", "domain", [0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0]),
    ("icx-8360y-2s-snc2", "socket", [0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0]),
    ("spr-2288hv7-2s-cxl", "domain", [0, 1, 1, 1, 0, 1]),  # its CXL memory hangs at no domain
    ("spr-2288hv7-2s-cxl", "socket", [0, 1, 1, 1, 0, 0]),  # but near socket 1
])  # fmt: skip
def test_which_domains_a_home_knows_of_without_its_directory(name, tracked, read):
    """[domain, node], by hand."""
    machine = load(name, set={"fabric.directory_ns": 1.0, "fabric.tracked": tracked})
    assert machine.topology.directory_ns() == read
