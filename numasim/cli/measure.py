"""numasim measure: measure this host's memory, or write what measures another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numasim.calibration.host_file import HostFile, Measurement
    from numasim.calibration.measure import Measured
    from numasim.calibration.protocol import Protocol

INTERRUPTED = 130


def measure(
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")] = None,
    protocol: Annotated[
        str, typer.Option(metavar="quick|standard|full|FILE", help="What is measured: about 1 min, 5 min, all.")
    ] = "standard",
    cpu: Annotated[int | None, typer.Option(metavar="N", help="Measure from this CPU (default: the lowest).")] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="EXPERIMENT", help="Only this experiment of the protocol; repeatable.")
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", help="Share the repetitions out among N rounds.")] = 1,
    and_: Annotated[
        str | None,
        typer.Option("--and", metavar="FILE", help="Measure twice: rounds go to this file and to --output in turn."),
    ] = None,
    emit: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Measure nothing: write sources, Makefile and run.sh for a host without Python."
        ),
    ] = None,
    json: options.Json = False,
) -> int:
    """Measure the memory of this host: latencies, bandwidth, caches, TLBs, core to core. No root, no counters.

    Needs a C compiler. Keep the host quiet meanwhile. Example: numasim measure -o host.json --protocol quick
    """
    from numasim.calibration import protocol as protocols
    from numasim.errors import UserError

    wanted, some = protocols.load(protocol), only or []
    if emit is not None:
        for option, value in {"--output": output, "--and": and_, "--cpu": cpu}.items():
            if value is not None:
                raise UserError(f"{option} beside --emit", "measure", "one of the two")
        return _emit(emit, wanted, some, rounds, json)
    if output is None and (and_ is not None or not json):
        raise UserError("nowhere to write to", "measure", "-o FILE, or --json")
    if and_ is not None and and_ == output:
        raise UserError("is --output, too", "--and", "another file")
    return _measure([name for name in (output, and_) if name is not None], wanted, cpu, some, rounds, json)


def _emit(folder: str, wanted: Protocol, only: Sequence[str], rounds: int, json: bool) -> int:
    from numasim.calibration.emit import emit
    from numasim.results.json import text_of

    names = emit(folder, wanted, only=only, rounds=rounds)
    if json:
        print(text_of({"folder": folder, "files": names}))
    else:
        print(f"{folder}: {len(names)} files. On the host: sh {folder}/run.sh host.jsonl")
    return 0


def _measure(
    files: Sequence[str], wanted: Protocol, cpu: int | None, only: Sequence[str], rounds: int, json: bool
) -> int:
    from numasim.calibration.measure import measure as measure_host
    from numasim.cli.progress import leave_at_once, progress
    from numasim.cli.words import given
    from numasim.results.json import check_writable

    for option, name in zip(("--output", "--and"), files, strict=False):
        check_writable(given(name, option, "a file name"))
    labels = [""] if len(files) < 2 else ["A", "B"]
    with progress() as told, leave_at_once() as begun:

        def report(what: str, done: float) -> None:
            begun()
            told(what, done)

        measured = measure_host(wanted, cpu=cpu, only=only, rounds=rounds, labels=labels, report=report)
    _write(measured, files)
    if json:
        import msgspec

        print(msgspec.json.encode(measured.files[0] if len(files) < 2 else measured.files).decode())
    else:
        for name, file in zip(files, measured.files, strict=True):
            _show(name + (".partial" if measured.partial else ""), file)
    return INTERRUPTED if measured.partial else 0


def _write(measured: Measured, files: Sequence[str]) -> None:
    """Each file, all or nothing; what was interrupted goes beside, so that it replaces nothing."""
    import sys

    from numasim.calibration.host_file import write

    for name, file in zip(files, measured.files, strict=False):
        name += ".partial" if measured.partial else ""
        write(file, name)
        if measured.partial:
            print(f"numasim: interrupted: {name} has the {len(file.measurements)} runs until then", file=sys.stderr)


def _show(name: str, file: HostFile) -> None:
    """What was measured, a line a measurement, and what was not."""
    from numasim.results.figures import console, put, table

    made = table(f"{name}: {_host(file)}", "experiment", "median", "undisturbed", "deviation", last="of")
    for one in file.measurements:
        others = file.of(one.experiment)
        varying = {key for key in one.keys if any(other.keys.get(key) != one.keys[key] for other in others)}
        quantity = next(iter(one.samples))
        sample = one.samples[quantity]
        made.add_row(
            one.experiment,
            _value(sample.median, quantity),
            _value(sample.quiet, quantity),
            _value(sample.mad, quantity),
            _keys(one, varying - {"seed", "ms", "repetitions"}),
        )
    put(made, console())
    for left in file.skipped:
        print(f"not measured: {left.experiment} {left.keys}: {left.why}")
    disturbed = [cpu.cpu for cpu in file.during.cpus if cpu.stolen_share > 0.01]
    if disturbed:
        print(f"The hypervisor took more than 1 % of the time of CPU {', '.join(map(str, disturbed))}: a noisy host.")


def _host(file: HostFile) -> str:
    cpu, virtual = file.host.get("cpu", {}), file.host.get("virtual", {})
    kind = f", a virtual machine ({virtual.get('by') or 'unknown'})" if virtual.get("is") else ""
    return f"{cpu.get('name') or cpu.get('id')}{kind}, {file.seconds:.0f} s"


def _value(value: float | None, quantity: str) -> str:
    unit = {"ghz": "GHz", "gbps": "GB/s", "ns": "ns", "s": "/s"}.get(quantity.rpartition("_")[2], "")
    return "-" if value is None else f"{value:.4g} {unit}"


def _keys(one: Measurement, varying: Collection[str]) -> str:
    """The keys that tell one measurement from another of its experiment, and sizes in any case."""
    shown = (key for key in one.keys if key in varying or key in ("size", "count", "length"))
    return " ".join(f"{key}={_short(one.keys[key])}" for key in shown)


def _short(value: float | str) -> str:
    """64m for 67108864, as the keys of the native program are written."""
    if not isinstance(value, int) or value < 1024:
        return str(value)
    for unit, size in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if value % size == 0:
            return f"{value // size}{unit}"
    return str(value)
