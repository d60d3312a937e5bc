"""What a computer, or a file about one, tells of itself: CPUs, cores, packages, caches, nodes, distances.

Both `sysfs` and `hwloc` fill a `Host`; `detect` makes a machine model of it.
"""

from msgspec import Struct

from numasim.errors import UserError

MOST_CPUS = 2**16  # numbers beyond it are no CPU's or node's, whatever a file says
Cpus = frozenset[int]


class Processor(Struct, frozen=True):
    """Which one it is, as CPUID (x86) or MIDR (arm64) says; "" and -1 where it is not told.

    vendor: "GenuineIntel", "AuthenticAMD", or "ARM" with the implementer as family and the part as model.
    """

    vendor: str = ""
    family: int = -1
    model: int = -1
    stepping: int = -1
    name: str = ""


class HostCache(Struct, frozen=True):
    """A data or unified cache and the CPUs that share it. ways and line_bytes: 0 where they are not told."""

    level: int
    size_bytes: int
    ways: int
    line_bytes: int
    cpus: Cpus


class HostNode(Struct, frozen=True):
    """A NUMA node. cpus: its own; near: those it is local to if it has none of its own, empty if not told.

    kind: "HBM", "CXL" and the like; "" if not told.
    """

    number: int
    cpus: Cpus
    size_bytes: int
    kind: str = ""
    near: Cpus = frozenset()


class Host(Struct, frozen=True):
    """A computer as it was told. told: by whom, such as "sysfs of this host".

    distances: ACPI's, by pair of node numbers.  pages: sizes of huge pages in bytes.  clock_ghz: the highest, 0 if not
    told.  offline: CPUs that are there and off.  remarks: what was
    understood in one of several ways.
    """

    told: str
    processor: Processor
    packages: tuple[Cpus, ...]
    cores: tuple[Cpus, ...]
    caches: tuple[HostCache, ...]
    nodes: tuple[HostNode, ...]
    distances: dict[tuple[int, int], int]
    pages: tuple[int, ...] = ()
    clock_ghz: float = 0.0
    offline: int = 0
    remarks: tuple[str, ...] = ()


def cpus_of_list(text: str, where: str) -> Cpus:
    """CPUs or nodes of a kernel list such as `0-3,8`; empty text is none. Raises UserError."""
    found: set[int] = set()
    for word in text.strip().split(","):
        first, dash, last = word.strip().partition("-")
        if not word.strip():
            continue
        if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > 9:
            raise UserError(f"{text.strip()[:40]!r} is no list of numbers", where, "such as 0-3,8")
        low, high = int(first), int(last or first)
        if high < low or high >= MOST_CPUS:
            raise UserError(f"{word.strip()!r} is no range of CPUs", where, f"numbers below {MOST_CPUS}, ascending")
        found.update(range(low, high + 1))
    return frozenset(found)


def cpus_of_mask(text: str, where: str) -> Cpus:
    """CPUs of a mask in the kernel's or hwloc's form: groups of 32 bits, the highest first, `0x00010000,,0x1`.

    Raises UserError.
    """
    value = 0
    groups = text.strip().split(",")
    if len(groups) > MOST_CPUS // 32:
        raise UserError("a mask of too many CPUs", where, f"numbers below {MOST_CPUS}")
    for group in groups:
        try:
            bits = int(group, 16) if group else 0
        except ValueError:
            raise UserError(f"{text.strip()[:40]!r} is no mask of CPUs", where, "such as 0x3 or ff,ffffffff") from None
        if not 0 <= bits < 2**32:
            raise UserError(f"{text.strip()[:40]!r} is no mask of CPUs", where, "groups of 32 bits") from None
        value = value << 32 | bits
    return frozenset(bit for bit in range(value.bit_length()) if value >> bit & 1)
