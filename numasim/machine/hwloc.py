"""A host by hwloc's XML, as `lstopo topology.xml` writes it, of versions 2 and 3 (DTD: hwloc2.dtd in hwloc's sources).

Objects nest by inclusion: packages, L3, L2, L1, cores, PUs (CPUs); a NUMANode is a child of the object it is local to.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from numasim.errors import UserError
from numasim.machine.detect_host import MOST_CPUS, Cpus, Host, HostCache, HostNode, Processor
from numasim.machine.nodes import format_list

EXPECTED = "hwloc 2's XML, as `lstopo topology.xml` writes it"
MOST_BYTES = 2**28  # a thousand cores with all their devices are some megabytes
MOST_OBJECTS = 2**20
MOST_DEPTH = 256
LATENCIES = 4  # HWLOC_DISTANCES_KIND_MEANS_LATENCY of hwloc/distances.h
VENDORS = {"Intel": "GenuineIntel", "AMD": "AuthenticAMD"}  # where only the processor's name is told
Owned = tuple[Element, Cpus]


def read(path: Path) -> Host:
    """The host an export describes. Raises UserError for what is no such file, or is one of hwloc 1."""
    root = _parsed(path)
    version = root.get("version", "")
    if root.tag != "topology":
        raise UserError(f"is no topology but a <{root.tag[:40]}>", str(path), EXPECTED)
    if not version or version.partition(".")[0] not in ("2", "3"):
        raise UserError(f"is of hwloc {version[:10] or '1'}", str(path), EXPECTED)
    objects = list(_objects(root, str(path)))
    units = [cpus for one, cpus in objects if one.get("type") == "PU"]
    every = frozenset().union(*units)
    if not every or len(every) < len(units) or min(every) < 0:
        what = "two PUs of one os_index" if every and min(every) >= 0 else "no CPUs (PU with an os_index)"
        raise UserError(f"has {what}", str(path), EXPECTED)
    nodes, remarks = _nodes(objects, every, str(path))
    packages = _whole(_cpus_of(objects, "Package"), every, alone=False)
    if len(packages) > len(nodes) == 1 and not nodes[0].size_bytes:  # as CPUID alone tells: no node, no memory
        nodes = [HostNode(number, cpus, 0) for number, cpus in enumerate(packages)]
        remarks = ("no NUMA nodes are told: one a package is assumed",)
    return Host(
        told=f"hwloc export {path.name}",
        processor=_processor([one for one, _ in objects]),
        packages=packages,
        cores=_whole(_cpus_of(objects, "Core"), every, alone=True),
        caches=tuple(_caches(objects, str(path))),
        nodes=tuple(nodes),
        distances=_distances(root, objects, str(path)),
        pages=tuple(sorted({_number(page, "size", str(path)) for page in root.iter("page_type")} - {0}))[1:],
        clock_ghz=_clock(root),
        offline=_offline(objects, every),
        remarks=remarks,
    )


def _parsed(path: Path) -> Element:
    """The tree of the file, which may have a DTD's name and no declaration of its own: those make small files huge."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MOST_DEPTH or count > MOST_OBJECTS:
            raise UserError("has too many objects", str(path), EXPECTED)
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def entity(*_: object) -> None:
        raise UserError("declares XML entities", str(path), EXPECTED)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = builder.data, entity
    try:
        with path.open("rb") as file:
            if path.stat().st_size > MOST_BYTES:
                raise UserError(f"is larger than {MOST_BYTES >> 20} MiB", str(path), EXPECTED)
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise UserError(f"is no XML: {error}", str(path), EXPECTED) from None
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), EXPECTED) from None
    except (ValueError, LookupError):
        raise UserError("is no XML: unknown encoding", str(path), EXPECTED) from None
    return builder.close()


def _objects(root: Element, where: str) -> Iterator[Owned]:
    """Each object with the CPUs it is local to: those below it, and for memory and devices those below its parent."""
    for top in root.findall("object"):
        order: list[tuple[Element, Element | None]] = [(top, None)]
        for one, _ in order:
            order += [(child, one) for child in one.findall("object")]
        below: dict[int, set[int]] = {id(one): set() for one, _ in order}
        for one, parent in reversed(order):
            if one.get("type") == "PU":
                below[id(one)].add(_number(one, "os_index", where))
            if parent is not None:
                below[id(parent)] |= below[id(one)]
        local: dict[int, Cpus] = {}
        for one, parent in order:
            beside = one.get("type") in ("NUMANode", "MemCache") and parent is not None
            local[id(one)] = local[id(parent)] if beside else frozenset(below[id(one)])
            yield one, local[id(one)]


def _number(one: Element, name: str, where: str) -> int:
    """A whole number of an attribute, 0 if it has none. Raises UserError."""
    text = one.get(name, "0")
    digits = text.removeprefix("-")
    most = MOST_CPUS if name == "os_index" else 2**63
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) < most):
        raise UserError(f'{name}="{text[:40]}" is no number', where, EXPECTED)
    return int(text)


def _cpus_of(objects: list[Owned], kind: str) -> list[Cpus]:
    return [cpus for one, cpus in objects if one.get("type") == kind and cpus]


def _whole(groups: list[Cpus], every: Cpus, alone: bool) -> tuple[Cpus, ...]:
    """Packages or cores; CPUs in none are each one of their own, or together one."""
    rest = every - frozenset().union(*groups)
    more = [frozenset({cpu}) for cpu in rest] if alone else [rest] if rest else []
    return tuple(sorted({*groups, *more}, key=min))


def _caches(objects: list[Owned], where: str) -> Iterator[HostCache]:
    for one, cpus in objects:
        kind = one.get("type", "")
        if kind in ("L1Cache", "L2Cache", "L3Cache", "L4Cache") and cpus and one.get("subtype") != "MemorySideCache":
            ways = max(0, _number(one, "cache_associativity", where))
            size, line = _number(one, "cache_size", where), _number(one, "cache_linesize", where)
            yield HostCache(int(kind[1]), max(0, size), ways, max(0, line), cpus)


def _nodes(objects: list[Owned], every: Cpus, where: str) -> tuple[list[HostNode], tuple[str, ...]]:
    """Nodes, and remarks; of several local to the same CPUs the one of plain memory, then the first, has them.

    A node local to fewer CPUs comes before one local to more.
    """
    told = [
        HostNode(_number(one, "os_index", where), cpus, max(0, _number(one, "local_memory", where)), _kind(one))
        for one, cpus in objects
        if one.get("type") == "NUMANode"
    ]
    if len({node.number for node in told}) < len(told):
        raise UserError("has two NUMANodes of one os_index", where, EXPECTED)
    order = sorted(told, key=lambda node: (len(node.cpus) or len(every) + 1, node.kind != "", node.number))
    rest, found, remarks = every, [], []
    for node in order:
        own = node.cpus & rest
        rest -= own
        if own or node.size_bytes:
            found.append(HostNode(node.number, own, node.size_bytes, node.kind, frozenset() if own else node.cpus))
        if node.size_bytes and not own and not node.kind:
            remarks.append(f"node {node.number} has no CPUs of its own: other nodes are local to the same")
    if rest and found:
        raise UserError(f"CPU(s) {format_list(rest)} are local to no NUMANode", where, EXPECTED)
    return sorted(found, key=lambda node: node.number) or [HostNode(0, every, 0)], tuple(remarks)


def _kind(node: Element) -> str:
    """The kind of a node's memory, empty for what is usual beside CPUs."""
    kind = node.get("subtype", "")
    return "" if kind == "DRAM" else kind


def _distances(root: Element, objects: list[Owned], where: str) -> dict[tuple[int, int], int]:
    """The latencies among NUMA nodes that the operating system told."""
    by_index = {
        one.get("gp_index", ""): _number(one, "os_index", where) for one, _ in objects if one.get("type") == "NUMANode"
    }
    for table in root.findall("distances2"):
        if table.get("type") != "NUMANode" or not _number(table, "kind", where) & LATENCIES:
            continue
        words = [(part.text or "").split() for part in table.findall("indexes")]
        indexes = [word for part in words for word in part]
        values = [word for part in table.findall("u64values") for word in (part.text or "").split()]
        if (
            not all(word.isdecimal() and len(word) < 20 for word in [*indexes, *values])
            or len(values) != len(indexes) ** 2
        ):
            raise UserError("has distances that are no square of numbers", where, EXPECTED)
        by_os = table.get("indexing") == "os"
        numbers = [int(word) if by_os else by_index.get(word, -1) for word in indexes]
        pairs = ((one, other) for one in numbers for other in numbers)
        return {pair: int(value) for pair, value in zip(pairs, values, strict=True)}
    return {}


def _clock(root: Element) -> float:
    """The highest clock of any kind of CPU, GHz; 0 if none is told."""
    told = [info.get("value", "") for info in root.iter("info") if info.get("name") == "FrequencyMaxMHz"]
    return max((int(text) for text in told if text.isdecimal() and 100 <= int(text[:9]) <= 10_000), default=0) / 1000


def _offline(objects: list[Owned], every: Cpus) -> int:
    """CPUs of the complete set that the export does not show."""
    from numasim.machine.detect_host import cpus_of_mask

    for one, _ in objects:
        if one.get("type") == "Machine" and one.get("complete_cpuset", "").startswith("0x"):
            text = one.get("complete_cpuset", "")
            return 0 if "f..." in text else len(cpus_of_mask(text, "complete_cpuset") - every)
    return 0


def _processor(objects: list[Element]) -> Processor:
    """By the first package that says it, or the machine."""
    for kind in ("Package", "Machine"):
        for one in objects:
            if one.get("type") == kind:
                said = {info.get("name", ""): info.get("value", "") for info in one.findall("info")}
                if any(name.startswith("CPU") for name in said):
                    return _named(said)
    return Processor()


def _named(said: dict[str, str]) -> Processor:
    arm = "CPUImplementer" in said
    keys = ("CPUImplementer", "CPUPart", "CPURevision") if arm else ("CPUFamilyNumber", "CPUModelNumber", "CPUStepping")
    family, model, stepping = (_id(said.get(key, "")) for key in keys)
    name = " ".join(said.get("CPUModel", "").split())[:80]
    by_name = next((vendor for word, vendor in VENDORS.items() if word in name), "")
    return Processor("ARM" if arm else said.get("CPUVendor", by_name), family, model, stepping, name)


def _id(text: str) -> int:
    try:
        return int(text, 0) if len(text) < 9 else -1
    except ValueError:
        return -1
