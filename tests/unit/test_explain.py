"""Is the story of an access its whole latency, cause by cause, whatever happens to it, and says it what happened?"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import typer

import numasim
from agreement.programs import mixed
from numasim.cli import app
from numasim.cli import explain as verb
from numasim.engine.feed import Length
from numasim.engine.simulate import Run, Thread
from numasim.errors import UserError
from numasim.machine import load
from numasim.memory import AddressSpace, Placement
from numasim.study.explain import Explanation, explain
from numasim.study.story import Story
from numasim.study.watch import Watched
from theory.small_runs import HIT, LOCAL, REMOTE

Made = Callable[..., Any]


def random_run(seed: int) -> tuple[Made, Any, int]:
    """A random machine with random programs, made as often as asked for; the machine, and how many threads."""
    rng = np.random.default_rng(seed)
    some = lambda *values: values[int(rng.integers(0, len(values)))]  # noqa: E731
    changes = {
        "core.fill_buffers": some(1, 4, 10), "core.prefetch_buffers": some(0, 8),
        "prefetch.streamer": some(True, False), "prefetch.next_line": some(True, False),
        "os.tick_hz": some(0.0, 50_000.0), "memory.dram.write_high": 4,
        "memory.dram.write_low": 2, "memory.dram.channels": some(1, 2), "memory.dram.queue_entries": some(2, 48),
        "fabric.remote_ns": some(0.0, 12.0), "fabric.directory_ns": some(0.0, 30.0),
        "tlb.walk": ("native", "nested")[seed % 2],
        "fabric.remote_trackers": (0, 1, 3)[seed % 3],
        "l3.inclusion": some("victim", "inclusive", "non-inclusive"), "topology.threads_per_core": some(1, 2),
    }  # fmt: skip
    machine, threads, shared, n = load("teaching-2s", set=changes), some(1, 3, 5), some(True, False), some(80, 400)
    size, pages = some(8192, 1 << 18), some("4k", "2m", "thp")
    kind = {"synchronised": some(True, False), "operations": some(True, False), "chains": some(True, False)}
    cpus = rng.permutation(machine.topology.cpus)[:threads].tolist()

    def made(cls: Any, **keys: int) -> Any:
        space = AddressSpace(
            machine, seed, pages=pages, placement=Placement("interleave", (0, 1)), page_tables=seed % 2
        )
        regions = [space.region("data", size) for _ in range(1 if shared else threads)]
        programs = [mixed(regions[0 if shared else k].base, size, seed + k, n, **kind) for k in range(threads)]
        parts = [Thread(cpus[k], k % 2, p, Length(1, 0, 1)) for k, p in enumerate(programs)]
        return cls(machine, space.finish(), parts, ["even", "odd"], **keys)

    return made, machine, threads


def told(made: Made, machine: Any, thread: int, **which: int) -> Story:
    story = Story(thread, list(machine.topology.vertices))
    made(Watched, thread=thread, **which).watch(story)
    return story


@pytest.mark.parametrize("seed", range(24))
def test_steps_are_the_stack_exactly(seed: int) -> None:
    """The slowest access is as slow as the run said; of that and of others the steps are the stack, cause by cause."""
    made, machine, threads = random_run(seed)
    run = made(Run)
    assert run.compiled()
    raw = run.result(1.0)
    high = np.where(raw.access_rows[:, :, 15].any(axis=1), raw.access_max_ps, -1)
    found = int(run.m.out.slowest[int(high.argmax())])
    slowest = told(made, machine, found & (1 << 14) - 1, record=found >> 14)
    assert sum(step.ps for step in slowest.steps) == high.max()
    rng = np.random.default_rng(seed)
    others = [told(made, machine, int(rng.integers(0, threads)), access=int(rng.integers(0, 40))) for _ in range(3)]
    for story in [slowest, *others]:
        assert story.done
        by_cause: Counter[int] = Counter()
        for step in story.steps:
            by_cause[step.cause] += step.ps
        assert +by_cause == +Counter(story.stack)


def test_watching_changes_nothing() -> None:
    """A run that goes on in Python after a watched access ends as one that never left the compiled loop."""
    made, machine, _ = random_run(3)
    plain = made(Run)
    assert plain.compiled()
    watched = made(Watched, thread=0, access=20)
    story = Story(0, list(machine.topology.vertices))
    watched.watch(type("Endless", (), {"wrappers": story.wrappers, "begin": story.begin, "done": False})())
    assert np.array_equal(watched.result(1.0).access_rows, plain.result(1.0).access_rows)


def cold(**words: Any) -> Explanation:
    """The third access of a cold chase in 2 MiB pages on the teaching machine: not the page's first."""
    return explain("teaching-2s", "chase", access=3, size="256KiB", warmup=0, pages="2m", **words)


def whats(found: Explanation) -> str:
    return "\n".join(step.what for step in found.steps)


@pytest.mark.parametrize(("node", "latency", "hops"), [(0, LOCAL, 0), (1, REMOTE, 2)])
def test_a_cold_load_is_told_as_the_model_has_it(node: int, latency: float, hops: int) -> None:
    found = cold(membind=node)
    assert (found.latency_ns, found.node, found.kind, found.access) == (latency, node, "load", 3)
    assert (found.region, found.page, found.back) == ("chase", "2 MiB", 1)
    assert sum(step.what.startswith("link ") for step in found.steps) == hops
    for said in ("neither in L1 nor in L2", "misses", f"memory controller of node {node}", "row", "enters L1"):
        assert said in whats(found)
    ends = [step.at_ns + step.ns for step in found.steps]
    assert ends == [*(step.at_ns for step in found.steps[1:]), latency]
    assert sum(found.stack_ns.values()) == latency


def test_the_bank_says_whether_its_row_was_open() -> None:
    """Lines one after the other in one row of one bank: the second is a hit, and told to be."""
    one_bank = {"memory.dram.ranks": 1, "memory.dram.bank_groups": 1, "memory.dram.banks_per_group": 1}
    machine = load("teaching-2s", set=one_bank | {"memory.dram.channels": 1, "memory.dram.idle_close_ns": 1e5})
    words = {"size": "1MiB", "warmup": 0, "pages": "2m", "threads": 1}
    found = [explain(machine, "stream", access=8 * k, **words) for k in range(2, 6)]  # eight loads a line
    assert any("row hit" in whats(one) for one in found), [whats(one) for one in found]


def test_a_line_of_another_core_is_told() -> None:
    """What pingpong passes on comes from the other core of the same domain, modified."""
    found = explain("teaching-2s", "pingpong", access=50)
    assert "snoop: a core of domain 0 has it modified" in whats(found)
    assert found.stack_ns["coherence"] >= HIT - 15


def test_a_snoop_in_another_domain_comes_after_the_way_there() -> None:
    """And before that the directory is read in memory, if the line's home is not where the line is."""
    machine = load("teaching-2s", set={"fabric.directory_ns": 30, "fabric.snoop_ns": 22})
    found = explain(machine, "pingpong", access=50, physcpubind="0,4", membind=0)
    order = [step.what.split(":")[0].split(" ")[0] for step in found.steps if step.ns]
    assert order.index("snoop") > order.index("link"), whats(found)
    snoop = next(step for step in found.steps if step.what.startswith("snoop"))
    assert snoop.ns >= 22 and "domain 1" in snoop.what
    at_home = explain(machine, "pingpong", access=50, physcpubind="0,4", membind=1)
    said = [whats(found), whats(at_home)]
    assert ["read in the memory of the line's home" in one for one in said] == [True, False]


def test_the_home_waits_for_snoops_where_the_machine_does() -> None:
    found = explain(
        load("teaching-2s", set={"fabric.remote_ns": 12}), "chase", 3, size="256KiB", warmup=0, pages="2m", membind=1
    )
    assert found.latency_ns == REMOTE + 12
    assert "waits for snoops" in whats(found)


def test_a_lock_says_who_has_it() -> None:
    found = explain("teaching-2s", "lock", threads=3, accesses=3000)
    assert "holds the lock" in whats(found) and found.stack_ns["lock_wait"] > 0


def test_number_and_slowest_are_the_same_access() -> None:
    words: dict[str, Any] = {"size": "1MiB", "accesses": 3000, "membind": 1}
    slowest = explain("teaching-2s", "chase", **words)
    again = explain("teaching-2s", "chase", access=slowest.access, **words)
    assert again == slowest
    assert slowest.latency_ns == numasim.run("teaching-2s", "chase", **words).access.max_ns


def test_slowest_of_l1_hits_is_the_first() -> None:
    found = explain("teaching-2s", "chase", size="512", accesses=500)
    assert (found.access, found.latency_ns, found.stack_ns) == (0, 1.0, {"l1": 1.0})


def test_operations_that_arrive_are_drawn_anew() -> None:
    words: dict[str, Any] = {"length": 300, "laps": 200, "arrivals": "poisson:2e5/s"}
    found = explain("teaching-2s", "list", **words)
    assert found.latency_ns == numasim.run("teaching-2s", "list", **words).access.max_ns


def test_of_another_group() -> None:
    words: dict[str, Any] = {"threads": 3, "accesses": 300, "size": "64KiB", "buffer": "256KiB"}
    assert explain("teaching-2s", "loaded", access=5, **words).group == "chaser"
    found = explain("teaching-2s", "loaded", group="generators", **words)
    assert (found.group, found.latency_ns) == (
        "generators",
        numasim.run("teaching-2s", "loaded", **words).groups["generators"].access.max_ns,
    )


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"access 700 of thread 0 .*below 500"):
        explain("teaching-2s", "chase", access=700, size="1KiB", accesses=500)
    with pytest.raises(UserError, match=r"no group 'b'.*chase"):
        explain("teaching-2s", "chase", group="b", size="1KiB", accesses=500)
    with pytest.raises(UserError, match="--access"):
        explain("teaching-2s", "chase", access="soon", size="1KiB", accesses=500)
    with pytest.raises(UserError, match="--access"):
        explain("teaching-2s", "chase", access=-1, size="1KiB", accesses=500)


# ---- the command line ----------------------------------------------------------------------------------------------


def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str, str]:
    own = typer.Typer(add_completion=False)
    own.command("explain")(verb.explain)
    own.callback()(lambda: None)
    monkeypatch.setattr(app, "app", own)
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        app.main(["explain", *words])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


CHASE = ("teaching-2s", "chase", "size=256KiB", "warmup=0", "--pages", "2m", "-m", "1", "--access", "3")


def test_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = say(monkeypatch, capsys, *CHASE)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    assert "Access 3 of thread 0 (chase, CPU 0): a load" in text
    assert "It took 200.0 ns." in text and "when the access before had its value" in text
    assert "link socket0 -> socket1: the request" in text
    assert "200.0 done" in text


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = say(monkeypatch, capsys, *CHASE, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["latency_ns"] == 200 and found["access"] == 3
    assert sum(step["ns"] for step in found["steps"]) == 200
    assert set(found["steps"][0]) == {"at_ns", "ns", "cause", "what"}


def test_a_scenario(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'machine = "teaching-2s"\n[[group]]\nworkload = "chase"\nsize = "64KiB"\naccesses = 100\n'
        '[[group]]\nname = "other"\nworkload = "chase"\nsize = "1KiB"\naccesses = 100\n'
    )
    code, out, _ = say(monkeypatch, capsys, str(file), "--group", "other", "--json")
    assert code == 0 and json.loads(out)["group"] == "other"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("teaching-2s",), "no workload"),
        (("teaching-2s", "chase", "--access", ""), "--access"),
        (("teaching-2s", "chase", "--access", "7.5"), "--access"),
        (("teaching-2s", "chase", "size=1KiB", "accesses=10", "--access", "10"), "below 10"),
        (("nowhere.toml",), "nowhere.toml"),
    ],
)
def test_slips(
    words: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = say(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert says in err and err.count("\n") == 1
