"""The machine a fit of a measured host begins with: what its file says it is, the rest as in the nearest model."""

from collections.abc import Iterable, Mapping
from typing import Any

from numasim.assets import shipped
from numasim.calibration import families, host_file
from numasim.calibration.host_file import HostFile
from numasim.calibration.values import changed, resourced
from numasim.errors import UserError
from numasim.machine import Machine
from numasim.machine.detect import model_of
from numasim.machine.detect_host import Cpus, Host, HostCache, HostNode, Processor
from numasim.machine.nearest import Generation, generation_of
from numasim.machine.nodes import parse_cpus

DESIGN = ("issue_width", "rob_entries")


def base(file: HostFile, name: str, where: str, like: str | None = None) -> Machine:
    """The model of the host a file was measured on.

    where: what errors call the file.  like: the model that the rest is taken from (None: the nearest, but none that was
    fitted to this very host: nothing is learnt from itself).  Raises UserError.
    """
    try:
        host = described(file.host, where)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"does not say what the host is: {error}", where, "a file of `numasim measure`") from None
    return _of_its_design(model_of(host, name, like, own(file)).machine, generation_of(host.processor))


def _of_its_design(machine: Machine, generation: Generation | None) -> Machine:
    """The machine with the width and the window of its own design, where that is a family that is shipped: no
    measurement tells them, and the nearest model may be of another."""
    family = families.CODES.get(generation.code) if generation else None
    if not family:
        return machine
    tables = families.tables(family)
    said = {
        f"core.{key}": tables["sources"].get(f"core.{key}", tables["sources"].get("core.*", f"assumed: as {family}"))
        for key in DESIGN
    }
    return resourced(changed(machine, {f"core.{key}": tables["core"][key] for key in DESIGN}), said)


def own(file: HostFile) -> list[str]:
    """Shipped models that were fitted to the host of this file: its processor, CPUs and caches are theirs."""
    found = []
    for path in sorted(shipped("calibration/hosts").glob("*/A.json")):
        if _kind(host_file.read(path)) == _kind(file):
            found.append(path.parent.name)
    return found


def _kind(file: HostFile) -> list[object]:
    """What does not change when a host starts anew."""
    cpu = file.host.get("cpu") or {}
    return [cpu.get("id"), cpu.get("name"), file.host.get("cpus"), file.host.get("caches")]


def described(host: Mapping[str, Any], where: str) -> Host:
    """The host as the detection of machines reads it. The file has the caches of one CPU: the others' are like them."""
    node_of = {int(one["cpu"]): int(one["node"]) for one in host["cpus"]}
    cores = _groups((int(one["cpu"]), (int(one["package"]), int(one["core"]))) for one in host["cpus"])
    packages = _groups((int(one["cpu"]), int(one["package"])) for one in host["cpus"])
    vendor, *numbers = str(host["cpu"]["id"]).split("-")
    family, model, stepping = (int(number, 0) if number else -1 for number in (*numbers, "", "", "")[:3])
    nodes = [
        HostNode(int(one["node"]), frozenset(cpu for cpu in node_of if node_of[cpu] == int(one["node"])),
                 int(one["memory_bytes"]))
        for one in host["nodes"]
    ]  # fmt: skip
    numbered = [int(one["node"]) for one in host["nodes"]]
    return Host(
        told=where,
        processor=Processor(vendor, family, model, stepping, str(host["cpu"]["name"])),
        packages=packages,
        cores=cores,
        caches=tuple(cache for one in host["caches"] for cache in _caches(one, cores, packages, list(node_of))),
        nodes=tuple(nodes),
        distances={
            (int(one["node"]), other): int(far)
            for one in host["nodes"]
            for other, far in zip(numbered, one["distances"], strict=False)
        },
        pages=tuple(int(one["bytes"]) for one in host["huge_pages"]),
    )


def _groups(pairs: Iterable[tuple[int, object]]) -> tuple[Cpus, ...]:
    found: dict[object, set[int]] = {}
    for cpu, group in pairs:
        found.setdefault(group, set()).add(cpu)
    return tuple(frozenset(cpus) for cpus in found.values())


def _caches(
    one: Mapping[str, Any], cores: tuple[Cpus, ...], packages: tuple[Cpus, ...], known: list[int]
) -> list[HostCache]:
    """A cache like this one for all CPUs: a core's, or shared by as many cores of a package, in the order of CPUs."""
    if one["kind"] == "Instruction":
        return []
    shared = set(parse_cpus(str(one["cpus"]), known))
    size = max(1, sum(bool(core & shared) for core in cores))
    found = []
    for package in packages:
        inside = sorted((core for core in cores if core <= package), key=min)
        for first in range(0, len(inside), size):
            cpus = frozenset().union(*inside[first : first + size])
            found.append(
                HostCache(int(one["level"]), int(one["size_bytes"]), int(one["ways"]), int(one["line_bytes"]), cpus)
            )
    return found
