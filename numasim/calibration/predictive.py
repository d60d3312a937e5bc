"""Predictive intervals of a run and of a machine's matrices: the same on machines as likely, and the discrepancy."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from numasim.calibration.intervals import LEVEL, discrepancy, draws, interval
from numasim.machine import Machine
from numasim.results.json import summary
from numasim.results.result import Result
from numasim.study.run import run_scenario
from numasim.study.scenario import Scenario

FIGURES = ("mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns")
BUSY = 0.5  # utilisation of a channel or link from which a latency is one under load
Report = Callable[[str, float], None]
Ends = dict[str, Any]


def with_intervals(
    scenario: Scenario, result: Result, count: int, jobs: int = 1, told: Report | None = None
) -> dict[str, Any]:
    """Intervals of every percentile and cause of a result, as one object for JSON.

    The scenario runs on `count` machines drawn from the model's [uncertainty], `jobs` at a time; ends are those of the
    central 90 %. {"level", "draws", "discrepancy": {"quantity", "relative"}, "access": {figure: [low, high],
    "stack_ns": {cause: [low, high]}}, "operation": the same or null, "groups": {name: {"access", "operation"}}}.
    Raises UserError if the model does not say how well it is known.
    """
    from joblib import Parallel, delayed

    machines = draws(scenario.machine, count, scenario.seed)
    work = Parallel(n_jobs=jobs, return_as="generator")
    others: list[Any] = []
    for done, one in enumerate(work(delayed(_figures)(replace(scenario, machine=other)) for other in machines), 1):
        others.append(one)
        if told:
            told("simulating machines as likely", done / count)
    quantity = "loaded" if _busy(result) else "idle" if _chases(scenario) else "program"
    relative = discrepancy(scenario.machine, quantity)
    whole = _ends(_of(result), others, relative)
    about = {"level": LEVEL, "draws": count, "discrepancy": {"quantity": quantity, "relative": relative}}
    return {**about, **whole}


def matrix_intervals(machine: Machine, count: int, told: Report | None = None) -> dict[str, list[list[list[float]]]]:
    """Intervals of the latency and bandwidth matrices, [node of CPUs][node of memory][low, high], in ns and GB/s.

    Ends are those of the central 90 % over `count` machines drawn from the model's [uncertainty], widened by the
    discrepancy. Raises UserError if the model does not say how well it is known.
    """
    from numasim.study.matrix import bandwidth_matrix, latency_matrix

    latency, bandwidth = [], []
    for done, other in enumerate(draws(machine, count), 1):
        latency.append(latency_matrix(other))
        bandwidth.append(bandwidth_matrix(other))
        if told:
            told("simulating machines as likely", done / count)
    drawn = {"latency_ns": ("idle", latency), "bandwidth_gbps": ("bandwidth", bandwidth)}
    return {
        name: [
            [
                list(interval([float(one[node][memory]) for one in values], discrepancy(machine, quantity)))
                for memory in range(len(values[0][node]))
            ]
            for node in range(len(values[0]))
        ]
        for name, (quantity, values) in drawn.items()
    }


def _busy(result: Result) -> bool:
    return max([0.0, *(u.utilisation for u in result.links), *(u.utilisation for u in result.memory)]) > BUSY


def _chases(scenario: Scenario) -> bool:
    """Is nothing but the latency of memory asked for?"""
    return all(group.workload == "chase" for group in scenario.groups)


def _figures(scenario: Scenario) -> Ends:
    return _of(run_scenario(scenario))


def _of(result: Result) -> Ends:
    """Figures of a result by name: access, operation, and both of each group."""
    groups = {name: {"access": _plain(g.access), "operation": _plain(g.operation)} for name, g in result.groups.items()}
    return {"access": _plain(result.access), "operation": _plain(result.operation), "groups": groups}


def _plain(distribution: Any) -> Ends | None:
    if distribution is None or not distribution.count:
        return None
    told = summary(distribution)
    return {**{name: told[name] for name in FIGURES}, "stack_ns": told["stack_ns"]}


def _ends(centre: Any, others: list[Any], relative: float) -> Any:
    """The interval of each number of `centre`, which is nested as all the others are."""
    if centre is None:
        return None
    if isinstance(centre, dict):
        return {
            key: _ends(value, [one[key] for one in others if one and key in one], relative)
            for key, value in centre.items()
        }
    values = [value for value in others if value is not None]
    low, high = interval(values or [centre], relative)
    return [low, high]
