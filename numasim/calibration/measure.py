"""Measuring this host: a protocol's runs, one after the other, and the file they become."""

import json
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from numasim.calibration import native
from numasim.calibration.host_file import FORMAT, VERSION, HostFile, from_lines
from numasim.calibration.protocol import Protocol, digest
from numasim.errors import UserError

Report = Callable[[str, float], None]
_NO_ANSWER_S = 900  # no run takes as long: what hangs must not hang the whole


class Measured(NamedTuple):
    """files: one for each label. partial: it was interrupted."""

    files: list[HostFile]
    partial: bool


class _Plan(NamedTuple):
    """runs: words of each; skips: words, and why."""

    runs: list[list[str]]
    skips: list[tuple[str, str]]


def measure(
    protocol: Protocol,
    *,
    cpu: int | None = None,
    only: Sequence[str] = (),
    rounds: int = 1,
    labels: Sequence[str] = ("",),
    report: Report = lambda what, done: None,
) -> Measured:
    """Runs the protocol `rounds` times for each label; rounds of the labels take turns (A, B, A, B ...).

    cpu: the one that stands for `first` (default: the lowest allowed). only: some experiments. What cannot be had here
    is named in the files. Ctrl-C: what there is, partial. Raises UserError for a mistake in the protocol or options.
    """
    if rounds < 1:
        raise UserError(f"{rounds} rounds", "--rounds", "1 at least")
    program = native.build()
    text = protocol.only(only).plan(rounds)
    plan = _planned(program, text, cpu)
    begin = _begin(program, protocol.name, digest(text), rounds, only)
    lines: list[list[bytes]] = [[begin(label)] for label in labels]
    for index in range(len(labels)):
        lines[index] += [_line({"skip": words, "why": why}) for words, why in plan.skips]
    total = max(1, rounds * len(labels) * len(plan.runs))
    try:
        done = 0
        for turn in range(rounds * len(labels)):
            for run in plan.runs:
                report(_told(run), done / total)
                lines[turn % len(labels)].append(_measured(program, run, turn // len(labels)))
                done += 1
        after = _host(program)
    except KeyboardInterrupt:
        return Measured([from_lines(part, "measure") for part in lines], True)
    return Measured([from_lines([*part, _line({"end": after})], "measure") for part in lines], False)


def _told(run: list[str]) -> str:
    """A run in a few words, without what most have in common."""
    common = ("ms=", "repetitions=", "cpu=", "node=")
    return " ".join([run[0], *[word for word in run[1:] if not word.startswith(common)][:3]])


def _line(value: object) -> bytes:
    return json.dumps(value).encode()


def _planned(program: native.Native, text: str, cpu: int | None) -> _Plan:
    done = program.call(["plan", "-", *([] if cpu is None else [f"cpu={cpu}"])], stdin=text)
    if done.returncode:
        raise UserError(_complaint(done), "measure")
    plan = _Plan([], [])
    for line in done.stdout.splitlines():
        verb, _, rest = line.partition(" ")
        if verb == "run":
            plan.runs.append(rest.split())
        else:
            words, _, why = rest.partition(" # ")
            plan.skips.append((words, why))
    return plan


def _complaint(done: "subprocess.CompletedProcess[str]") -> str:
    last = done.stderr.strip().splitlines()[-1:]
    return last[0].removeprefix("numasim-native: ") if last else f"numasim-native ended with {done.returncode}"


def _host(program: native.Native) -> dict[str, Any]:
    done = program.call(["host"])
    if done.returncode:
        raise UserError(_complaint(done), "measure", "a Linux host with /sys and /proc")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _begin(program: native.Native, name: str, plan: str, rounds: int, only: Sequence[str]) -> Callable[[str], bytes]:
    from numasim.calibration.emit import made_by

    common = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": {**made_by(), "compiler": program.compiler},
        "protocol": {"name": name, "sha256": plan, "rounds": rounds, "only": list(only)},
        "begun": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "host": _host(program),
    }
    return lambda label: _line({"begin": {**common, "label": label}})


def _measured(program: native.Native, run: list[str], turn: int) -> bytes:
    """The line of a run; what fails is named as skipped, with what the program said."""
    command = [str(program.program), *run]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_NO_ANSWER_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _line({"skip": " ".join(run), "why": f"no answer in {_NO_ANSWER_S} s"})
    if done.returncode == 0 and done.stdout.startswith("{"):
        return f'{{"round": {turn}, {done.stdout.strip()[1:]}'.encode()
    why = f"ended by signal {-done.returncode}" if done.returncode < 0 else _complaint(done)
    return _line({"skip": " ".join(run), "why": why})
