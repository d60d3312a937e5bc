"""Which shipped model is most like a host: what the host does not tell is taken from it.

The distance is a sum of plain steps, each told: generations of processors apart, and doublings of what is in a domain.
Generations are known by CPUID (Linux: arch/x86/include/asm/intel-family.h, arch/x86/kernel/cpu/amd.c) or by MIDR
(Linux: arch/arm64/include/asm/cputype.h); those of a model by its name and description.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from numasim.machine.detect_host import Processor
from numasim.machine.detect_shape import Plan
from numasim.machine.loading import load, names
from numasim.machine.model import Machine

ANY = range(256)
MOST_GENERATIONS = 6.0
OTHER_VENDOR, OTHER_ARCHITECTURE, NO_PROCESSOR = 8.0, 12.0, 24.0
A_DOUBLING, A_DOUBLING_OF_SOCKETS, A_DOUBLING_OF_NODES = 1.0, 0.5, 0.25


class Generation(NamedTuple):
    """Processors of one design. code: how names of models begin.  words: as descriptions have it.  family, models,
    steppings: of CPUID; of MIDR the implementer and the part.
    """

    vendor: str
    code: str
    words: tuple[str, ...]
    family: int
    models: Iterable[int]
    steppings: Iterable[int] = ANY


# Each vendor's in the order they came.
GENERATIONS = (
    Generation("GenuineIntel", "core2", ("Core 2", "Dunnington"), 6, (0x0F, 0x16, 0x17, 0x1D)),
    Generation("GenuineIntel", "nhm", ("Nehalem",), 6, (0x1A, 0x1E, 0x1F, 0x2E)),
    Generation("GenuineIntel", "wsm", ("Westmere",), 6, (0x25, 0x2C, 0x2F)),
    Generation("GenuineIntel", "snb", ("Sandy Bridge",), 6, (0x2A, 0x2D)),
    Generation("GenuineIntel", "ivb", ("Ivy Bridge",), 6, (0x3A, 0x3E)),
    Generation("GenuineIntel", "hsw", ("Haswell",), 6, (0x3C, 0x3F, 0x45, 0x46)),
    Generation("GenuineIntel", "bdw", ("Broadwell",), 6, (0x3D, 0x47, 0x4F, 0x56)),
    Generation("GenuineIntel", "skx", ("Skylake",), 6, (0x55, 0x4E, 0x5E), range(5)),
    Generation("GenuineIntel", "clx", ("Cascade Lake",), 6, (0x55,), range(5, 8)),
    Generation("GenuineIntel", "cpx", ("Cooper Lake",), 6, (0x55,), range(8, 16)),
    Generation("GenuineIntel", "icx", ("Ice Lake",), 6, (0x6A, 0x6C, 0x7D, 0x7E)),
    Generation("GenuineIntel", "spr", ("Sapphire Rapids", "Xeon Max"), 6, (0x8F,)),
    Generation("GenuineIntel", "emr", ("Emerald Rapids",), 6, (0xCF,)),
    Generation("GenuineIntel", "gnr", ("Granite Rapids",), 6, (0xAD, 0xAE)),
    Generation("AuthenticAMD", "k8", ("K8",), 0x0F, ANY),
    Generation("AuthenticAMD", "k10", ("K10", "Istanbul", "Magny"), 0x10, ANY),
    Generation("AuthenticAMD", "bulldozer", ("Bulldozer", "Piledriver", "Interlagos"), 0x15, ANY),
    Generation("AuthenticAMD", "naples", ("Naples", "Zen 1"), 0x17, range(0x30)),
    Generation("AuthenticAMD", "rome", ("Rome", "Zen 2"), 0x17, range(0x30, 0x100)),
    Generation("AuthenticAMD", "milan", ("Milan", "Zen 3"), 0x19, (*range(0x10), *range(0x20, 0x60))),
    Generation("AuthenticAMD", "genoa", ("Genoa", "Bergamo", "Zen 4"), 0x19, (*range(0x10, 0x20), *range(0x60, 0xB0))),
    Generation("AuthenticAMD", "turin", ("Turin", "Zen 5"), 0x1A, ANY),
    Generation("ARM", "kunpeng", ("Kunpeng", "TaiShan"), 0x48, (0xD01,)),
    Generation("ARM", "graviton2", ("Neoverse N1", "Graviton2", "Altra"), 0x41, (0xD0C,)),
    Generation("ARM", "graviton3", ("Neoverse V1", "Graviton3"), 0x41, (0xD40,)),
    Generation("ARM", "n2", ("Neoverse N2",), 0x41, (0xD49,)),
    Generation("ARM", "graviton4", ("Neoverse V2", "Graviton4", "Grace"), 0x41, (0xD4F,)),
)  # fmt: skip


class Ranked(NamedTuple):
    """A shipped model, how far it is from a host in steps, of these in generations of processors, and why in words."""

    distance: float
    generations: float
    machine: Machine
    why: str


def generation_of(processor: Processor) -> Generation | None:
    """The generation of a processor; None if it is in no list here."""
    for one in GENERATIONS:
        stepping = processor.stepping < 0 or processor.stepping in one.steppings
        if (
            (one.vendor, one.family) == (processor.vendor, processor.family)
            and processor.model in one.models
            and stepping
        ):
            return one
    return None


@cache
def _generation_of_model(name: str, description: str) -> Generation | None:
    code = name.partition("-")[0].lower()
    by_name = [one for one in GENERATIONS if one.code == code]
    by_words = [one for one in GENERATIONS if any(word in description for word in one.words)]
    return next(iter([*by_name, *by_words]), None)


def ranked(processor: Processor, plan: Plan) -> list[Ranked]:
    """All shipped models, the nearest first; of equally near ones the first by name."""
    found = [_step(processor, plan, load(name)) for name in names()]
    return sorted(found, key=lambda one: (one.distance, one.machine.name))


def _step(processor: Processor, plan: Plan, machine: Machine) -> Ranked:
    apart, why = _generations(processor, _generation_of_model(machine.name, machine.description))
    total = apart
    mine, theirs = plan.shape, machine.shape
    doublings: list[tuple[str, float, float, float]] = [
        ("cores a domain", mine.cores_per_domain, theirs.cores_per_domain, A_DOUBLING),
        ("sockets", mine.sockets, theirs.sockets, A_DOUBLING_OF_SOCKETS),
        ("nodes a socket", mine.nodes_per_socket, theirs.nodes_per_socket, A_DOUBLING_OF_NODES),
    ]
    for name, size in (("l1d", machine.l1d.size_bytes), ("l2", machine.l2.size_bytes)):
        if name in plan.caches:
            doublings.append((name.upper(), plan.caches[name][0], size, A_DOUBLING))
    if "l3" in plan.caches:
        each = plan.caches["l3"][0] / mine.cores_per_domain, machine.l3.size_bytes / theirs.cores_per_domain
        doublings.append(("L3 a core", *each, A_DOUBLING))
    reasons = [why]
    for name, one, other, weight in doublings:
        steps = weight * abs(math.log2(one / other)) if one else 0.0
        total += steps
        if steps >= 0.05:
            reasons.append(f"{name} {one / other:.2g} times its")
    return Ranked(round(total, 6), apart, machine, ", ".join(reasons))


def _generations(processor: Processor, theirs: Generation | None) -> tuple[float, str]:
    """Steps between a processor and a model's, and in words."""
    mine = generation_of(processor)
    if theirs is None:
        return NO_PROCESSOR, "a model of no known processor"
    if not processor.vendor:
        return OTHER_VENDOR, f"{theirs.words[0]} for an unknown processor"
    if processor.vendor != theirs.vendor:
        both_x86 = {processor.vendor, theirs.vendor} <= {"GenuineIntel", "AuthenticAMD"}
        return (OTHER_VENDOR if both_x86 else OTHER_ARCHITECTURE), f"another vendor's {theirs.words[0]}"
    if mine is None:
        return MOST_GENERATIONS, f"{theirs.words[0]} for an unknown processor of its vendor"
    apart = abs(GENERATIONS.index(mine) - GENERATIONS.index(theirs))
    words = f"{mine.words[0]}" if not apart else f"{theirs.words[0]} for {mine.words[0]}, {apart} generation(s) apart"
    return min(MOST_GENERATIONS, float(apart)), words
