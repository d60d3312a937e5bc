"""A host by Linux's own files: /sys/devices/system/{cpu,node}, /sys/kernel/mm/hugepages, /proc/{cpuinfo,meminfo}.

The files are described in Linux's Documentation/ABI (stable/sysfs-devices-system-cpu, stable/sysfs-devices-node).
"""

import re
from collections.abc import Iterable
from pathlib import Path

from numasim.errors import UserError
from numasim.machine.detect_host import (
    MOST_CPUS,
    Cpus,
    Host,
    HostCache,
    HostNode,
    Processor,
    cpus_of_list,
    cpus_of_mask,
)
from numasim.machine.nodes import format_list

_SIZE = re.compile(r"(\d{1,15})([KMG]?)B?")
_POWER = {"": 0, "K": 1, "M": 2, "G": 3}
MOST_BYTES = 2**20  # of one file: the largest, /proc/cpuinfo, has some kB a CPU, and only its first CPU is used


def read(root: Path = Path("/")) -> Host:
    """The host whose files are below `root` ("/" is this one). Raises UserError if there are none, or broken ones."""
    tree = _Tree(root)
    folder = root / "sys/devices/system/cpu"
    if not folder.is_dir():
        raise UserError("no /sys/devices/system/cpu", str(root), "Linux's sysfs, or a copy of it")
    cpus = _numbers(folder, "cpu")
    online = tree.text("sys/devices/system/cpu/online")
    on = cpus_of_list(online, tree.where("sys/devices/system/cpu/online")) & cpus if online else cpus
    on = frozenset(cpu for cpu in on if (folder / f"cpu{cpu}/topology").is_dir()) or on
    if not on:
        raise UserError("no CPU is told", str(folder), "folders cpu0, cpu1, ...")
    cores, packages = _groups(tree, on, "thread_siblings", "core_cpus"), _packages(tree, on)
    mhz = [tree.number(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq") for cpu in on]
    return Host(
        told="sysfs of this host" if root == Path("/") else f"sysfs in {root.name or root}",
        processor=_processor(tree),
        packages=packages,
        cores=cores,
        caches=tuple(_caches(tree, on)),
        nodes=tuple(_nodes(tree, on)),
        distances=_distances(tree),
        pages=_pages(tree),
        clock_ghz=round(max(mhz) / 1e6, 3) if 100_000 <= max(mhz) <= 10_000_000 else 0.0,
        offline=len(cpus - on),
    )


class _Tree:
    """The files below a folder; one that is missing or unreadable is empty."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, path: str) -> str:
        return str(self.root / path)

    def text(self, path: str) -> str:
        try:
            with (self.root / path).open("rb") as file:
                return file.read(MOST_BYTES).decode("utf-8", "replace").strip(" \t\n\0")
        except OSError:
            return ""

    def number(self, path: str) -> int:
        text = self.text(path)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0

    def cpus(self, *stems: str) -> Cpus:
        """CPUs of the first of several files there is: a list, or a mask."""
        for stem in stems:
            for path, parse in ((f"{stem}_list", cpus_of_list), (stem, cpus_of_mask)):
                text = self.text(path)
                if text:
                    return parse(text, self.where(path))
        return frozenset()


def _numbers(folder: Path, stem: str) -> Cpus:
    """The numbers of folders such as cpu0, cpu1."""
    found = (re.fullmatch(rf"{stem}(\d{{1,6}})", path.name) for path in folder.glob(f"{stem}[0-9]*") if path.is_dir())
    return frozenset(int(match[1]) for match in found if match and int(match[1]) < MOST_CPUS)


def _groups(tree: _Tree, on: Cpus, *stems: str) -> tuple[Cpus, ...]:
    """CPUs that are told to be together, each group once and in order; a CPU that is told nothing is alone."""
    found: dict[int, Cpus] = {}
    for cpu in sorted(on):
        together = tree.cpus(*(f"sys/devices/system/cpu/cpu{cpu}/topology/{stem}" for stem in stems)) & on
        together |= {cpu}
        found[min(together)] = found.get(min(together), frozenset()) | together
    return tuple(found[first] for first in sorted(found))


def _packages(tree: _Tree, on: Cpus) -> tuple[Cpus, ...]:
    """By package number; by siblings where firmware does not number packages."""
    numbers: dict[str, set[int]] = {}
    for cpu in sorted(on):
        numbers.setdefault(tree.text(f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"), set()).add(cpu)
    if "" in numbers or "-1" in numbers:
        groups = _groups(tree, on, "core_siblings", "package_cpus")
        return groups if len(groups) < len(on) or len(on) == 1 else (on,)
    return tuple(sorted((frozenset(cpus) for cpus in numbers.values()), key=min))


def _caches(tree: _Tree, on: Cpus) -> Iterable[HostCache]:
    found = set()
    for cpu in sorted(on):
        base = f"sys/devices/system/cpu/cpu{cpu}/cache"
        for index in _numbers(tree.root / base, "index"):
            here = f"{base}/index{index}"
            level = tree.number(f"{here}/level")
            size = _SIZE.fullmatch(tree.text(f"{here}/size"))
            if tree.text(f"{here}/type") == "Instruction" or not level or not size:
                continue
            shared = (tree.cpus(f"{here}/shared_cpu", f"{here}/shared_cpu_map") & on) | {cpu}
            ways, line = tree.number(f"{here}/ways_of_associativity"), tree.number(f"{here}/coherency_line_size")
            found.add(HostCache(level, int(size[1]) * 1024 ** _POWER[size[2]], ways, line, frozenset(shared)))
    return sorted(found, key=lambda cache: (cache.level, min(cache.cpus), len(cache.cpus)))


def _nodes(tree: _Tree, on: Cpus) -> list[HostNode]:
    """Nodes with CPUs or memory; one with all if the kernel knows of none."""
    base = tree.root / "sys/devices/system/node"
    found = []
    for number in sorted(_numbers(base, "node")):
        here = f"sys/devices/system/node/node{number}"
        listed = tree.text(f"{here}/cpulist")
        cpus = cpus_of_list(listed, tree.where(f"{here}/cpulist")) if listed else tree.cpus(f"{here}/cpumap")
        size = _total(tree.text(f"{here}/meminfo"))
        if cpus & on or size:
            found.append(HostNode(number, cpus & on, size, near=frozenset() if cpus & on else _initiators(tree, here)))
    rest = on - frozenset().union(*(node.cpus for node in found))
    if not any(node.cpus for node in found):
        return [HostNode(0, on, _total(tree.text("proc/meminfo")))]
    if rest:
        raise UserError(f"CPU(s) {format_list(rest)} are on no node", str(base), "each CPU in the cpulist of a node")
    return found


def _initiators(tree: _Tree, node: str) -> Cpus:
    """CPUs of the nodes that ACPI's HMAT names as the nearest to a node's memory; none if it does not."""
    near: set[int] = set()
    for number in _numbers(tree.root / node / "access0/initiators", "node"):
        listed = f"sys/devices/system/node/node{number}/cpulist"
        near |= cpus_of_list(tree.text(listed), tree.where(listed))
    return frozenset(near)


def _total(meminfo: str) -> int:
    found = re.search(r"MemTotal:\s*(\d{1,15}) kB", meminfo)
    return int(found[1]) * 1024 if found else 0


def _distances(tree: _Tree) -> dict[tuple[int, int], int]:
    """A node's file has its distances to all nodes that are on, in the order of their numbers."""
    numbers = sorted(_numbers(tree.root / "sys/devices/system/node", "node"))
    found: dict[tuple[int, int], int] = {}
    for number in numbers:
        words = tree.text(f"sys/devices/system/node/node{number}/distance").split()
        if len(words) == len(numbers) and all(word.isdecimal() and len(word) < 9 for word in words):
            found |= {(number, other): int(word) for other, word in zip(numbers, words, strict=True)}
    return found


def _pages(tree: _Tree) -> tuple[int, ...]:
    huge = (path.name for path in (tree.root / "sys/kernel/mm/hugepages").glob("hugepages-*kB"))
    sizes = (re.fullmatch(r"hugepages-(\d{1,12})kB", name) for name in huge)
    return tuple(sorted(int(size[1]) * 1024 for size in sizes if size))


def _processor(tree: _Tree) -> Processor:
    """The first CPU of /proc/cpuinfo, in the words of x86 or of arm64."""
    fields: dict[str, str] = {}
    for line in tree.text("proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if "CPU implementer" in fields:
        vendor, keys = "ARM", ("CPU implementer", "CPU part", "CPU revision")
    else:
        vendor, keys = fields.get("vendor_id", ""), ("cpu family", "model", "stepping")
    family, model, stepping = (_id(fields.get(key, "")) for key in keys)
    name = fields.get("model name") or fields.get("cpu") or ""
    return Processor(vendor, family, model, stepping, " ".join(name.split())[:80])


def _id(text: str) -> int:
    try:
        return int(text, 0) if len(text) < 9 else -1
    except ValueError:
        return -1
