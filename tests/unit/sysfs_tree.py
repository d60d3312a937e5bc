"""Trees of /sys and /proc for tests: unpacked from tests/data/sysfs, or written for a machine model."""

import lzma
from pathlib import Path

from numasim.machine import Machine
from numasim.machine.nodes import format_list

DATA = Path(__file__).resolve().parents[1] / "data" / "sysfs"
CPU, NODE = "sys/devices/system/cpu", "sys/devices/system/node"


def unpack(name: str, folder: Path) -> Path:
    """The tree of a fixture, such as "silver-4108-2s", below a folder; returns the folder."""
    packed = DATA / f"{name}.txt.xz"
    text = lzma.decompress(packed.read_bytes()).decode() if packed.exists() else (DATA / f"{name}.txt").read_text()
    return build(dict(line.partition("=")[::2] for line in text.splitlines()), folder)


def build(files: dict[str, str], folder: Path) -> Path:
    """A tree of these files by path, with \\n for a line's end; a path that ends in / is a folder."""
    for path, text in files.items():
        place = folder / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text.replace("\\n", "\n") + "\n")
    return folder


def files_of(machine: Machine) -> dict[str, str]:
    """What Linux would tell of a machine, from the model's own numbering."""
    topology = machine.topology
    everyone = range(topology.cpus)
    core_of = [topology.cpu_core(cpu) for cpu in everyone]
    found = {f"{CPU}/online": f"0-{topology.cpus - 1}"}
    for cpu, core in enumerate(core_of):
        domain, socket = topology.core_domain[core], topology.core_socket[core]
        siblings = [other for other in everyone if core_of[other] == core]
        sharing = [other for other in everyone if topology.core_domain[core_of[other]] == domain]
        package = [other for other in everyone if topology.core_socket[core_of[other]] == socket]
        here = f"{CPU}/cpu{cpu}/topology"
        found |= {f"{here}/physical_package_id": str(socket), f"{here}/core_siblings": mask(package)}
        found |= {f"{here}/core_id": str(core), f"{here}/thread_siblings": mask(siblings)}
        levels = (
            (1, "Data", machine.l1d, siblings),
            (2, "Unified", machine.l2, siblings),
            (3, "Unified", machine.l3, sharing),
        )
        for index, (level, kind, cache, cpus) in enumerate(levels):
            here = f"{CPU}/cpu{cpu}/cache/index{index}"
            found |= {f"{here}/level": str(level), f"{here}/type": kind, f"{here}/size": f"{cache.size_bytes // 1024}K"}
            found |= {f"{here}/ways_of_associativity": str(cache.ways), f"{here}/coherency_line_size": "64"}
            sets = cache.size_bytes // (64 * cache.ways)
            found |= {f"{here}/number_of_sets": str(sets), f"{here}/physical_line_partition": "1"}
            found |= {f"{here}/shared_cpu_map": mask(cpus)}
    for node in range(topology.nodes):
        here = f"{NODE}/node{node}"
        cpus = topology.node_cpus(node)
        distances = " ".join(str(topology.distance(node, other)) for other in range(topology.nodes))
        size = machine.node_memory[node].size_bytes // 1024
        found |= {f"{here}/cpulist": format_list(cpus), f"{here}/cpumap": mask(cpus), f"{here}/distance": distances}
        found |= {f"{here}/meminfo": f"Node {node} MemTotal:    {size} kB"}
    found[f"{NODE}/online"] = f"0-{topology.nodes - 1}" if topology.nodes > 1 else "0"
    return found


def mask(cpus: list[int]) -> str:
    """CPUs as the kernel writes a mask: groups of 32 bits, the highest first."""
    value = sum(1 << cpu for cpu in cpus)
    groups = []
    while value or not groups:
        groups.append(f"{value & 0xFFFFFFFF:08x}")
        value >>= 32
    return ",".join(reversed(groups))
