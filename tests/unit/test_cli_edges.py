"""Do scenario files, tables, counters and host figures hold at their edges? Do the docs name what there is?"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numasim.engine.state import EVENTS
from numasim.errors import UserError, told_in
from numasim.machine import load as load_machine
from numasim.memory import AddressSpace, PageMap, Placement
from numasim.results import figures, host, table
from numasim.sizes import parse_count, parse_size
from numasim.study import scenario
from numasim.study.prepare import arrivals
from numasim.workloads.base import make, names
from unit.test_results_synthetic import result_of, samples

HEAD = 'machine = "teaching-2s"\n'
GROUP = '[[group]]\nworkload = "chase"\nsize = "64KiB"\n'


def loaded(folder: Path, text: str, **words: Any) -> scenario.Scenario:
    (folder / "s.toml").write_text(text)
    return scenario.load(str(folder / "s.toml"), **words)


# ---- scenario files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        '[set]\n"links.bridge.latency_ns" = 60\n"core.rob_entries" = 16\n',
        "[set]\nlinks.bridge.latency_ns = 60\ncore.rob_entries = 16\n",
        "[set.links.bridge]\nlatency_ns = 60\n[set.core]\nrob_entries = 16\n",
        "[set]\ncore = {rob_entries = 16}\nlinks.bridge = {latency_ns = 60}\n",
    ],
    ids=["quoted", "dotted", "tables", "inline"],
)
def test_changes_of_the_machine_may_be_keys_or_tables(changes: str, tmp_path: Path) -> None:
    machine = loaded(tmp_path, HEAD + changes + GROUP).machine
    assert machine.links["bridge"].latency_ns == 60
    assert machine.core.rob_entries == 16
    assert machine.core.fill_buffers == 4


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    text = HEAD + "[set.core]\nrob_entries = 16\n" + GROUP
    assert loaded(tmp_path, text, set={"core.rob_entries": "8"}).machine.core.rob_entries == 8


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ("[set.links.bridge]\nlatency = 60\n", ["set.links.bridge.latency", "latency_ns"]),
        ("[set.core]\nrob_entries = 0\n", ["set.core.rob_entries", "0"]),
        ("[set]\n", ["set is empty"]),
        ("[set.core]\n", ["set.core is empty"]),
        ("set = 3\n", ["set is no table"]),
        ('[[set]]\n"core.rob_entries" = 9\n', ["set is no table"]),
        ("[os]\ntick = 1\n", ["os.tick", "tick_us"]),
        ('machine = "teaching-9"\n', ["machine", "teaching-2s"]),
        ('machine = "none.toml"\n', ["none.toml"]),
    ],
)
def test_what_is_wrong_with_a_machine_names_the_scenario(changes: str, parts: list[str], tmp_path: Path) -> None:
    head = "" if changes.startswith("machine") else HEAD
    with pytest.raises(UserError) as told:
        loaded(tmp_path, head + changes + GROUP)
    assert str(told.value).startswith(str(tmp_path / "s.toml"))
    for part in parts:
        assert part in str(told.value)


def test_only_what_the_file_says_is_blamed_on_it(tmp_path: Path) -> None:
    for words, where in ({"seed": -1}, "seed"), ({"set": {"core.x": "1"}}, "--set core.x"):
        with pytest.raises(UserError) as told:
            loaded(tmp_path, HEAD + GROUP, **words)
        assert told.value.where == where


@pytest.mark.parametrize("word", ["cpunodebind", "physcpubind", "membind", "interleave", "pages", "page_tables"])
def test_an_empty_word_is_a_slip(word: str) -> None:
    with pytest.raises(UserError, match=f"{word}: nothing is given"):
        scenario.single(load_machine("teaching-2s"), "chase", {word: ""})


def test_no_word_is_the_default() -> None:
    machine = load_machine("teaching-2s")
    assert scenario.single(machine, "chase", {"membind": None}) == scenario.single(machine, "chase", {})
    assert scenario.single(machine, "chase", {"localalloc": "no"}).groups[0].placement == ""
    assert scenario.single(machine, "chase", {"localalloc": True}).groups[0].placement == "localalloc"
    assert scenario.single(machine, "chase", {"seed": "7"}).seed == 7


def test_a_place_is_told_once() -> None:
    with pytest.raises(UserError) as told, told_in("s.toml"), told_in("s.toml"), told_in("group a"):
        raise UserError("wrong", "key x", "right")
    assert str(told.value) == "s.toml: group a: key x: wrong (expected right)"


# ---- memory --------------------------------------------------------------------------------------------------------


def node_of(pagemap: PageMap, frames: Any) -> set[int]:
    return set((np.asarray(frames) >> pagemap.node_shift - 6).tolist())


def test_page_tables_follow_the_policy_of_their_own_task() -> None:
    space = AddressSpace(load_machine("teaching-2s"), 1, placement=Placement("bind", (0,)))
    other = space.task(Placement("bind", (1,)), 1)
    first = space.region("first", 8 << 20)
    second = space.region("second", 8 << 20, task=other)
    third = space.region("third", 4096, placement=Placement("bind", (0,)), task=other)
    pagemap = space.finish()
    for region, data, tables in (first, 0, 0), (second, 1, 1), (third, 0, 1):
        blocks = slice(region.base >> 21, (region.base + region.size_bytes - 1 >> 21) + 1)
        pages = slice(region.base >> 12, (region.base + region.size_bytes - 1 >> 12) + 1)
        assert node_of(pagemap, pagemap.frame[pages]) == {data}
        assert node_of(pagemap, pagemap.pt[blocks]) == {tables}
        assert node_of(pagemap, [pagemap.pd[region.base >> 30]]) == {tables}
    assert node_of(pagemap, [pagemap.pml4]) == {0}


def test_tasks_alike_lie_side_by_side() -> None:
    space = AddressSpace(load_machine("teaching-2s"), 1)
    same = space.task(Placement(), 0)
    bases = [space.region("r", 4096, task=task).base for task in (0, same, 0)]
    assert bases == [0, 2 << 20, 4 << 20]


@pytest.mark.parametrize("name", sorted(set(names()) - {"trace", "lock", "pingpong"}))
def test_what_a_workload_needs_at_least_is_no_more_than_it_takes(name: str) -> None:
    from numasim.workloads.base import Context

    small = {"length": "3000"} if name in ("list", "map", "slice", "tree") else {"size": "64KiB"}
    keys = {"listmap": {"length": "30", "maps": "100"}, "loaded": {"size": "64KiB", "buffer": "64KiB"}}.get(name, small)
    machine = load_machine("teaching-2s")
    own = name in ("c2c", "chains", "loaded")  # threads of these share nothing, so there is no such key
    for shared in ["no"] if own else ["no", "yes"]:
        made = make(name, keys | ({} if own else {"shared": shared}))
        space = AddressSpace(machine, 1)
        made.build(Context(machine, space, np.random.default_rng(1), [0, 1], [0, 0]))
        taken = sum(region.size_bytes for region in space.finish().regions)
        assert 0 < made.least_bytes(machine, 2) <= taken


# ---- numbers, tables, the host -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1e400", "1e308", "-1", "nan", "inf", "", "64½", "６４", "0x40", "1.5", "1e-400x"])
def test_what_is_no_size_is_told(text: str) -> None:
    for parse in parse_count, parse_size:
        with pytest.raises(UserError):
            parse(text, "key")


RATES = ["fixed:...", "fixed:1.2.3/s", "poisson:1e400/s", "poisson:1e-320/s", "fixed:٣/s", "fixed:0"]


@pytest.mark.parametrize("text", RATES)
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(UserError) as told:
        arrivals(text, 1, 1, 0)
    assert told.value.where == "arrivals"


def test_rates_have_their_units() -> None:
    for text in "fixed:20k/s", "fixed:2e4", "fixed:20000./s", "fixed:0.02M/s":
        gaps = arrivals(text, 2, 1, 0)
        assert gaps is not None
        assert gaps(3).tolist() == [100_000_000] * 3, "ps, as each of two threads gets half of them"


def test_a_title_wider_than_its_table_is_not_wrapped() -> None:
    out = io.StringIO()
    found = figures.table("A title that is much wider than the table below it", "n", "x")
    found.add_row("0", "1")
    figures.put(found, figures.console(out, 80))
    assert out.getvalue().splitlines()[0] == "A title that is much wider than the table below it"


def test_a_run_of_many_groups_says_how_many_it_leaves_out() -> None:
    result = result_of(samples(seed=3, count=50))
    group = next(iter(result.groups.values()))
    out = figures.console(io.StringIO(), 80)
    left = list(table._where([group] * 9, out))[-1]
    assert str(left.title) == "(3 more groups: see --json)"
    assert not left.columns, "so it is shown, though it has no rows"


def test_a_console_whose_reader_left_says_so() -> None:
    class Left(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        figures.console(Left(), 80).print("x")


def test_memory_is_that_of_the_process_not_of_its_parent() -> None:
    """A child forked by a large process begins with the parent's maximum in getrusage."""
    code = "from numasim.results.host import peak_rss_bytes; print(peak_rss_bytes())"
    large = bytearray(os.urandom(1 << 20) * 300)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(large) > 0
    assert 1 << 20 < int(done.stdout) < 200 << 20
    assert host.peak_rss_bytes() > 300 << 20


def test_memory_is_known_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_peak_of_status", lambda: 0)
    assert host.peak_rss_bytes() > 1 << 20


# ---- the docs ------------------------------------------------------------------------------------------------------


def test_every_counter_is_explained(root: Path) -> None:
    text = (root / "docs" / "reading-results.md").read_text()
    rows = text[text.index("| event | counts |") :].split("\n\n")[0].splitlines()[2:]
    told = [word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(told) == sorted(EVENTS)


def test_docs_that_are_cited_are_there(root: Path) -> None:
    files = [*root.glob("numasim/**/*.py"), *root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("models/*.toml")]
    cited = {name for file in files for name in re.findall(r"docs/[\w-]+\.md", file.read_text())}
    assert "docs/traces.md" in cited
    assert [name for name in sorted(cited) if not (root / name).is_file()] == []


def test_the_format_of_traces_is_the_one_described(root: Path) -> None:
    from numasim.traces import parquet, records

    text = (root / "docs" / "traces.md").read_text()
    columns = {word for row in text.split("\n") if "| uint" in row or "| int" in row for word in _words(row)}
    assert columns == set(parquet.TYPES)
    for number, kind in enumerate(records.KINDS):
        assert f"{number} {kind}" in text
    keys = text[text.index("| key | what it is |") :].split("\n\n")[0].splitlines()[2:]
    assert {word for row in keys for word in _words(row)} == set(parquet.Meta.__struct_fields__)


def _words(row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", row.split("|")[1])
