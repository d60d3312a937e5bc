"""A host that was measured twice, in turn, as data that is shipped: both files made small, and the model fitted to A.

    python -m numasim.calibration.host_ship NAME A.json B.json

writes calibration/hosts/NAME/A.json and B.json and, fitted to A alone, models/NAME.toml. Without files it fits again.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from numasim.assets import shipped
from numasim.calibration import calibrated, host_file, host_fit, written
from numasim.calibration.host_base import base, described
from numasim.calibration.host_file import HostFile, Measurement, Sample
from numasim.calibration.host_twins import PROGRAMS
from numasim.machine import Machine
from numasim.machine.nearest import generation_of

DIGITS = 5
LIKE = "genoa-9354p-nps4"  # what is not fitted is taken from this model


def small(file: HostFile) -> HostFile:
    """The file with DIGITS of each repetition, and without what neither fit nor comparison reads: the distributions of
    programs, and interruptions one by one."""
    return msgspec.structs.replace(file, measurements=[_small(one) for one in file.measurements])


def _small(one: Measurement) -> Measurement:
    samples = {name: _rounded(sample) for name, sample in one.samples.items()}
    histograms = {} if one.experiment in PROGRAMS else one.histograms
    facts = {key: value for key, value in one.facts.items() if key != "events"}
    return msgspec.structs.replace(one, samples=samples, histograms=histograms, facts=facts)


def _rounded(sample: Sample) -> Sample:
    raw = [None if value is None else float(f"{value:.{DIGITS}g}") for value in sample.raw]
    rest = {
        name: None if value is None else float(f"{value:.{DIGITS + 1}g}")
        for name in Sample.__struct_fields__
        if name != "raw"
        for value in [getattr(sample, name)]
    }
    return Sample(raw=raw, **rest)


def load(name: str) -> tuple[HostFile, HostFile]:
    """Both measurements of a shipped host. Raises UserError."""
    folder = shipped("calibration/hosts") / name
    return host_file.read(folder / "A.json"), host_file.read(folder / "B.json")


def text(name: str, file: HostFile) -> tuple[str, list[str]]:
    """The model of a shipped host as its file says it, fitted to A; and what the fit could not decide."""
    where = f"calibration/hosts/{name}/A.json"
    start = base(file, name, where, LIKE)
    found, notes = host_fit.noted(file, start, None, name, where)
    about = _about(file, start)
    machine = calibrated.renamed(found.machine, name, about)
    lines = [
        f"{about}.",
        "",
        f"Fitted by numasim.calibration.host_ship to {where} (SOURCE.md there says how it was measured):",
        f"{len(found.knobs)} values to {found.cells} measured ones. [sources] says where each is from, [uncertainty]",
        "how well the fit knows it.",
    ]
    for what, keys in (("Not determined by them", found.undetermined), ("At a bound", found.at_bound)):
        lines += [f"{what}: {', '.join(keys)}."] if keys else []
    return written.text(machine, "\n".join([*lines, *(f"Note: {note}." for note in notes)])), notes


def _about(file: HostFile, start: Machine) -> str:
    host = file.host
    shape = start.shape
    cores = shape.sockets * shape.domains_per_socket * shape.cores_per_domain
    guest = f"a virtual machine ({host['virtual']['by']}) with " if host["virtual"]["is"] else ""
    known = generation_of(described(host, "").processor)
    name = f"{host['cpu']['name']}, {known.words[-1] if known else 'unknown'} (CPUID {host['cpu']['id']})"
    return f"{name}: {guest}{cores} cores, {start.topology.nodes} node(s), neighbours share L3 and memory"


def main(words: Sequence[str]) -> None:
    """Write both files and the model of a host."""
    name, *paths = words
    folder = shipped("calibration/hosts") / name
    for label, path in zip("AB", paths, strict=False):
        found = small(host_file.read(path))
        (folder / f"{label}.json").write_bytes(msgspec.json.encode(found) + b"\n")
    model, notes = text(name, load(name)[0])
    part = Path(shipped("models") / f"{name}.toml.part")
    part.write_text(model, encoding="utf-8")
    part.replace(shipped("models") / f"{name}.toml")
    print("\n".join(notes))


if __name__ == "__main__":
    main(sys.argv[1:])
