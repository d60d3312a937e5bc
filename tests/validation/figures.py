"""Simulated figures of icx-8360y-2s, each computed once: what MLC, likwid and a core-to-core test measured."""

import csv
from functools import cache

import numpy as np

from numasim.assets import shipped
from numasim.machine import Machine, load
from numasim.results import Result
from numasim.study.matrix import idle_latency, read_bandwidth
from numasim.study.run import run

HOST = shipped("calibration/hosts") / "icx-8360y-2s"
MODEL = "icx-8360y-2s"
DELAYS = (20_000, 5_000, 1_500, 600, 400, 250, 180, 130, 100, 75, 60, 48)


@cache
def model(*changes: tuple[str, object]) -> Machine:
    return load(MODEL, set=dict(changes))


@cache
def idle(memory: int, *changes: tuple[str, object]) -> float:
    return idle_latency(model(*changes), 0, memory, 60_000)


@cache
def bandwidth(memory: int, *changes: tuple[str, object]) -> float:
    return read_bandwidth(model(*changes), 0, memory, 500_000 if memory == 0 else 250_000)


@cache
def one_core() -> float:
    machine = model(("core.frequency_ghz", 2.4))
    return run(machine, "stream", pages="2m", accesses=300_000, warmup=0).groups["stream"].read_gbps


@cache
def loaded(delay: int, ratio: str = "1:0", accesses: int = 3_000, *changes: tuple[str, object]) -> tuple[float, float]:
    """(GB/s of both sockets, ns of the chaser): every core but the chaser's reads its own node."""
    result = run(
        model(*changes), "loaded", threads=72, cpunodebind="all", pages="2m", delay=delay, ratio=ratio,
        buffer="8MiB", accesses=accesses, warmup=0,
    )  # fmt: skip
    traffic = sum(group.read_gbps + group.write_gbps for group in result.groups.values())
    return traffic, float(result.groups["chaser"].access.mean_ns)


@cache
def core_to_core(state: str, home: str, cpus: str) -> float:
    result = run(model(), "c2c", state=state, home=home, physcpubind=cpus, laps=4)
    return float(result.groups["reader"].access.mean_ns)


@cache
def pingpong(cpus: str) -> float:
    """ns one way: from one core's compare-and-exchange to the other's."""
    result: Result = run(model(), "pingpong", physcpubind=cpus, accesses=20_000)
    return float(result.simulated_ns / result.access.count)


def published_curve() -> tuple[np.ndarray, np.ndarray]:
    """MLC's loaded latency: total read GB/s and ns, by rising bandwidth."""
    with (HOST / "loaded_latency.csv").open() as file:
        rows = sorted((float(r["total_read_bw_GBps"]), float(r["latency_ns"])) for r in csv.DictReader(file))
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
