"""What a machine's picture says: its title, what stands in memories and beside links, and the keys below."""

import math

from numasim.machine.model import Machine, Memory
from numasim.machine.nodes import format_list
from numasim.machine.plot_shapes import WIDTH, Box, Key, Line, Text, text_width

MARGIN, TITLE, KEY = 24.0, 58.0, 16.0  # points: left and right of all, height of the title and of a key


def size_text(size: int) -> str:
    """Bytes to four digits: 1.25 MiB, 128 GiB."""
    power = max(0, min(4, (size.bit_length() - 1) // 10))
    return f"{size / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def gbps_of(memory: Memory) -> float:
    """GB/s of a node's memory: the most its channels carry, or the curve's peak."""
    return memory.peak_gbps if memory.kind == "curve" else memory.channels * 64 / memory.burst_ns


def memory_words(machine: Machine, nodes: list[int], vertex: str) -> list[list[str]]:
    """What a memory's box may say, most first."""
    memory = machine.node_memory[nodes[0]]
    name = f"node{'s' if len(nodes) > 1 else ''} {format_list(nodes)}"
    size, speed = size_text(memory.size_bytes), f"{gbps_of(memory):.4g} GB/s"
    own = f" ({vertex})" if vertex else ""
    more = "no CPUs, " if memory.vertex else f"{memory.channels} channels, " if memory.kind == "ddr" else ""
    long = [f"{name}{own}: {size}", f"{more}{speed}"]
    return [
        long,
        [name, *([vertex] if vertex else []), size, speed],
        [name, size, speed],
        [name, size],
        [name],
        [format_list(nodes)],
    ]


def title(machine: Machine) -> list[Text]:
    """Name and description, as small as they must be to fit the slide."""
    size = min(11.0, (WIDTH - 2 * MARGIN) / text_width(machine.description or "-", 1))
    name = Text(
        MARGIN, 24, machine.title(), min(20, (WIDTH - 2 * MARGIN) / text_width(machine.title(), 1)), "start", bold=True
    )
    return [name, *([Text(MARGIN, 43, machine.description, size, "start")] if machine.description else [])]


def figures(machine: Machine, line: Line, packages: list[Box]) -> list[Text]:
    """A lone link's figures beside it, where it runs level between packages."""
    if not line.link or len(machine.links[line.link].pairs) > 1 or line.points[0][1] != line.points[3][1]:
        return []
    link = machine.links[line.link]
    x, y = line.at(0.5)
    if any(box.x < x < box.x + box.width and box.y < y < box.y + box.height for box in packages):
        return []
    name = f"{link.count} x {line.link}" if link.count > 1 else line.link
    words = [name, f"{link.latency_ns:g} ns a hop", f"{link.count * link.bandwidth_gbps:.4g} GB/s each way"]
    if abs(line.points[3][0] - line.points[0][0]) < text_width(words[-1], 10):
        return []
    first = y - 42 if y - 50 > TITLE else y + 14  # above the line, or below it if the title is there
    return [Text(x, first + 14 * row, word, 10, bold=row == 0) for row, word in enumerate(words)]


def keys_of(machine: Machine) -> list[tuple[str, str]]:
    """Lines below the picture with the link whose colour they explain, if any."""
    core, fabric = machine.core, machine.fabric
    hit_ns = machine.l2.latency_cycles / core.frequency_ghz + 2 * fabric.mesh_ns + machine.l3.lookup_ns
    own = f"L1D {size_text(machine.l1d.size_bytes)}, L2 {size_text(machine.l2.size_bytes)}"
    threads = f"{machine.shape.threads_per_core} CPU{'s' if machine.shape.threads_per_core > 1 else ''} each"
    cores = f"{machine.topology.cores} cores: {core.frequency_ghz:g} GHz, {threads}, {own}; L3 hit {hit_ns:.1f} ns"
    found = [(cores, "")]
    for name, link in machine.links.items():
        parts = (
            f"{link.count} x {link.bandwidth_gbps:.4g} GB/s" if link.count > 1 else f"{link.bandwidth_gbps:.4g} GB/s"
        )
        found.append((f"{name}: {link.latency_ns:g} ns a hop, {parts} each way", name))
    alike: dict[str, list[str]] = {}
    for name, memory in machine.memory.items():
        channels = f"{memory.channels} channels, " if memory.kind == "ddr" else ""
        figures = f"{size_text(memory.size_bytes)}, {channels}{gbps_of(memory):.4g} GB/s"
        alike.setdefault(figures, []).append(name)
    for figures, names in alike.items():
        nodes = [node for name in names for node in machine.memory[name].nodes]
        which, each = ("nodes", " each") if len(nodes) > 1 else ("node", "")
        called = ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]}"
        found.append((f"{called}, {which} {format_list(nodes)}: {figures}{each}", ""))
    return found


def below(keys: list[tuple[str, str]], top: float) -> tuple[Key, ...]:
    """The keys in two columns."""
    wide = (WIDTH - 2 * MARGIN) / 2
    rows = math.ceil(len(keys) / 2)
    found = []
    for number, (words, link) in enumerate(keys):
        column, row = divmod(number, rows)
        size = min(10.5, (wide - 30) / text_width(words, 1))
        x = MARGIN + column * wide + 22
        found.append(Key(Text(x, top + KEY * (row + 0.5), words, size, "start"), link))
    return tuple(found)
