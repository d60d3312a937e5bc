"""Does diff find what was changed: in which cause, by how much, and no more than that?"""

import json as standard
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from numasim.cli.diff import diff as verb
from numasim.engine.output import ACCESS_CAUSES
from numasim.errors import UserError
from numasim.results import Result, changes, diff, json
from numasim.results.figures import console
from unit.test_results_synthetic import PROVENANCE, REGIONS, SITES, Samples, raw_of, result_of, samples

LINK, MEMORY, L1 = (ACCESS_CAUSES.index(cause) for cause in ("link", "memory", "l1"))
MADE = samples(seed=41, count=20_000)
GROUP = {"name": "g", "workload": "list", "keys": {"length": "1000"}, "threads": 1, "placement": "", "nodes": ""}
MACHINE = {"name": "m", "description": "", "links": {"upi": {"latency_ns": 50.0}}, "sources": {"*": "assumed"}}


def changed(cause: int, by_ps: int, above_ps: int = 0, made: Samples = MADE) -> Samples:
    """Each access and operation of `above_ps` or more takes so much longer, in one cause."""

    def one(stacks: Any) -> Any:
        out = stacks.copy()
        out[stacks.sum(axis=1) >= above_ps, cause] += by_ps
        return out

    return Samples(made.classes, [one(s) for s in made.access], [one(s) for s in made.operation])


def asked(groups: Any = (GROUP,), seed: int = 1, machine: Any = MACHINE, made: Samples = MADE, **rest: Any) -> Result:
    configuration = {"machine": machine, "groups": list(groups), "regions": [], "page_tables": "", **rest}
    return Result(raw_of(made), SITES, REGIONS, PROVENANCE | {"configuration": configuration, "seed": seed})


def shown(a: Result, b: Result, width: int = 80) -> str:
    import io

    out = io.StringIO()
    diff.show(a, b, "a.json", "b.json", console(out, width))
    return out.getvalue()


A = result_of(MADE)
SLOWER = result_of(changed(LINK, 51_000, above_ps=9000))


def rows(a: Result, b: Result, of: str = "access", group: str = "generators") -> dict[float | None, changes.Change]:
    pair = next(pair for pair in changes.pairs(a, b) if pair.a == group)
    return {change.percentile: change for change in getattr(pair, of)}


def test_the_mean_changes_by_what_was_added_in_its_cause() -> None:
    for group, stacks in (("chaser", MADE.access[:2]), ("generators", MADE.access[2:])):
        latencies = np.concatenate([s.sum(axis=1) for s in stacks])
        expected = 51 * np.mean(latencies >= 9000)
        mean = rows(A, SLOWER, group=group)[None]
        assert mean.change_ns == pytest.approx(expected, rel=1e-9)
        assert mean.change_percent == pytest.approx(100 * expected / (latencies.mean() / 1000), rel=1e-9)
        assert mean.causes_ns["link"] == pytest.approx(expected, rel=1e-9)
        assert {cause for cause, value in mean.causes_ns.items() if value} == {"link"}
        assert not mean.within_resolution


@pytest.mark.parametrize(("of", "group"), [("access", "chaser"), ("access", "generators"), ("operation", "generators")])
def test_every_percentile_changes_by_what_was_added(of: str, group: str) -> None:
    before = np.sort(
        np.concatenate([s.sum(axis=1) for s in (MADE.access[:2] if group == "chaser" else MADE.access[2:])])
    )
    if of == "operation":
        before = np.sort(MADE.operation[1].sum(axis=1))
    after = np.sort(before + np.where(before >= 9000, 51_000, 0))
    found = rows(A, SLOWER, of, group)
    assert {50, 90, 100} <= set(found) - {None}
    for level, change in found.items():
        if level is None:
            continue
        rank = max(1, -(-int(level * 1000) * len(before) // 100_000)) - 1
        assert change.a_ns * 1000 == pytest.approx(before[rank], rel=0.01)
        assert change.b_ns * 1000 == pytest.approx(after[rank], rel=0.01)
        assert change.change_ns == change.b_ns - change.a_ns
        assert sum(change.causes_ns.values()) == pytest.approx(change.change_ns, rel=1e-9, abs=1e-9)
        if before[rank] >= 9000 and level <= 90:  # beyond, a bucket has few samples, not the same before and after
            largest = max(change.causes_ns, key=lambda cause: change.causes_ns[cause])
            assert largest == "link" and change.causes_ns["link"] == pytest.approx(51, rel=0.02)


def test_the_answer_comes_first_in_a_sentence() -> None:
    lines = list(diff.answers(A, SLOWER))
    assert [line.split(":")[0] for line in lines] == ["chaser", "generators", "generators"]
    mean = rows(A, SLOWER, group="chaser")[None]
    assert lines[0].startswith(f"chaser: b is {mean.change_ns:.1f} ns (")
    assert f"slower in the mean, {mean.change_ns:.1f} of them are link; its p99.9" in lines[0]
    assert lines[1].startswith("generators: operations: b is") and lines[2].startswith("generators: accesses: b")
    assert shown(A, SLOWER).replace("\n", " ").replace("  ", " ").startswith(lines[0])


def test_b_may_be_faster_and_causes_may_work_against_it() -> None:
    faster = next(iter(diff.answers(SLOWER, A)))
    assert "faster in the mean" in faster and "of them are link" in faster and "lower." in faster
    both = result_of(changed(MEMORY, -3000, 20_000, changed(LINK, 10_000, 20_000)))
    text = next(iter(diff.answers(A, both)))
    assert "of them are link (against it memory -" in text


def test_the_same_run_twice_differs_in_nothing() -> None:
    again = json.loads(json.dumps(A))
    assert changes.configuration(A, again) == []
    assert changes.counters(A, again) == changes.loads(A, again) == []
    assert all(change.change_ns == 0 for change in rows(A, again).values())
    assert all("takes as long as a in the mean and in every percentile" in line for line in diff.answers(A, again))
    text = shown(A, again)
    assert "Both were asked for the same." in text and "~0" not in text and "mostly" not in text


def test_less_than_the_histogram_resolves_is_no_change_but_the_mean_tells() -> None:
    b = result_of(changed(L1, 100, above_ps=30_000))  # 0.1 ns of 30 or more
    found = rows(A, b)
    assert found[None].change_ns > 0.05 and not found[None].within_resolution
    for level in (90.0, 99.0):
        change = found[level]
        assert change.change_ns == 0 or change.within_resolution
    assert "~0" in shown(A, b) and "is within 1 %" in shown(A, b)
    assert found[100].change_ns == pytest.approx(0.1)  # extremes are exact
    assert not found[100].within_resolution


def test_percentiles_of_too_few_samples_are_left_out() -> None:
    few = samples(seed=1, count=500)
    found = rows(result_of(few), result_of(few))
    assert set(found) == {None, 0, 10, 25, 50, 75, 90, 95, 100}  # five samples lie beyond p99


def test_what_was_asked_for_differently() -> None:
    keys = {"length": "2000", "order": "shuffled"}
    b = asked(
        [GROUP | {"keys": keys, "placement": "membind", "nodes": "1"}], 2,
        MACHINE | {"links": {"upi": {"latency_ns": 60.0}}, "sources": {"*": "set"}, "description": "another"},
        page_tables="0",
    )  # fmt: skip
    assert changes.configuration(asked(), b) == [
        ("group memory", "", "membind 1"),
        ("group length", "1000", "2000"),
        ("page_tables", "", "0"),
        ("seed", 1, 2),
        ("machine links.upi.latency_ns", 50.0, 60.0),
        ("group order", None, "shuffled"),
    ]
    text = shown(asked(), b)
    assert "The seeds differ: a part of what follows is luck." in " ".join(text.split())
    assert text.index("takes as long as") < text.index("What was asked for differently")


def test_lists_are_the_same_before_and_after_a_file() -> None:
    curve = MACHINE | {"memory": {"ddr": {"curve": ((0.0, 80.0), (10.0, 90.0)), "nodes": (0, 1)}}}
    made = asked(machine=curve)
    assert changes.configuration(made, json.loads(json.dumps(made))) == []


def test_groups_are_matched_by_name_or_as_the_only_ones() -> None:
    one, other = (result_of(samples(seed=2, groups=1), (name,)) for name in ("list", "map"))
    assert changes.matched(one, other) == [("list", "map")]
    assert changes.matched(A, one) == [("", "")]
    named = Result(raw_of(MADE, ("chaser", "streams")), SITES, REGIONS, PROVENANCE)
    assert changes.matched(A, named) == [("chaser", "chaser")]
    told = diff.to_dict(A, named, "a", "b")
    assert (told["only_a"], told["only_b"]) == (["generators"], ["streams"])
    assert "Only in a: generators." in shown(A, named) and "Only in b: streams." in shown(A, named)
    assert "all groups of each are taken together" in " ".join(shown(A, one).split())


def test_operations_are_compared_where_both_have_them() -> None:
    chasers = Samples(MADE.classes[:2], MADE.access[:2], MADE.operation[:1])
    without = result_of(chasers, ("chaser",))
    pair = next(changes.pairs(without, A))
    assert pair.operation is None and pair.access is not None
    nothing = result_of(Samples(MADE.classes, [s[:0] for s in MADE.access], [s[:0] for s in MADE.operation]))
    assert "cannot be compared" in next(iter(diff.answers(A, nothing)))
    assert "cannot be compared" in shown(nothing, A)


def test_counters_that_changed_and_an_access_if_the_lengths_differ() -> None:
    raw = A.raw._replace(counters=A.raw.counters * np.array([1, 1, 2, 1, 1]))
    b = Result(raw, SITES, REGIONS, PROVENANCE)
    (number,) = changes.counters(A, b)
    assert number == ("L1-dcache-load-misses", 30, 60)
    half = result_of(samples(seed=41, count=10_000))
    found = {name: (a, b) for name, a, b in changes.counters(A, half)}
    assert found["L1-dcache-load-misses"] == (30 / 60_000, 30 / 30_000)
    assert "Counters that changed, an access" in shown(A, half)


def test_links_and_memory_that_changed() -> None:
    links = [link._replace(bytes=2 * link.bytes, busy_ps=2 * link.busy_ps) for link in A.raw.links]
    b = Result(A.raw._replace(links=links), SITES, REGIONS, PROVENANCE)
    ((rate, busy),) = changes.loads(A, b)
    assert rate == ("socket0 -> socket1 (upi)", 10.0, 20.0)
    assert (busy.a, busy.b) == (pytest.approx(1 / 6), pytest.approx(1 / 3))
    assert "17 %    33 %" in shown(A, b)


@pytest.mark.parametrize("b", [SLOWER, result_of(samples(seed=2, groups=1), ("map",)), asked(seed=5)])
def test_it_fits_80_columns(b: Result) -> None:
    assert max(map(len, shown(A, b).splitlines())) <= 80


def test_json_is_the_same_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json.write(A, tmp_path / "a.json")
    json.write(SLOWER, tmp_path / "b.json")
    verb(str(tmp_path / "a.json"), str(tmp_path / "b.json"), json=True)
    told = standard.loads(capsys.readouterr().out)
    assert told["answer"] == list(diff.answers(A, SLOWER))
    group = next(group for group in told["groups"] if group["a"] == "chaser")
    expected = rows(A, SLOWER, group="chaser")
    assert {row["percentile"]: row["change_ns"] for row in group["access"]} == {
        level: change.change_ns for level, change in expected.items()
    }
    assert told["a"]["title"] == PROVENANCE["title"]
    verb(str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert capsys.readouterr().out.startswith("chaser: b is")


def test_a_scenario_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'machine = "teaching-2s"\nscheduler = "simpy"\n[[group]]\nworkload = "chase"\nmembind = {}\n'
    text += 'size = "64k"\nwarmup = 0\naccesses = 500\n'
    for node in (0, 1):
        (tmp_path / f"{node}.toml").write_text(text.format(node))
    verb(str(tmp_path / "0.toml"), str(tmp_path / "1.toml"), json=True)
    told = standard.loads(capsys.readouterr().out)
    assert {d["what"] for d in told["configuration"]} == {"group memory"}
    mean = told["groups"][0]["access"][0]
    assert mean["change_ns"] > 0 and max(mean["causes_ns"], key=mean["causes_ns"].get) == "link"


def test_mistakes_are_lines(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UserError, match="not a numasim result"):
        verb(str(tmp_path / "bad.json"), str(tmp_path / "bad.json"))
    with pytest.raises(UserError, match="cannot read"):
        verb(str(tmp_path / "none.json"), "-")
    with pytest.raises(UserError, match="both are standard input"):
        verb("-", "-")
    with pytest.raises(UserError, match="nothing is given"):
        verb("", "b.json")
    with pytest.raises(UserError, match="cannot be read"):
        verb(str(tmp_path / "none.toml"), "b.json")


def test_help_shows_an_example() -> None:
    import typer

    app = typer.Typer()
    app.command()(verb)
    assert "numasim diff" in CliRunner().invoke(app, ["--help"]).output
