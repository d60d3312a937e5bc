"""Are Intel MLC's logs read as they were printed, and is what is wrong with one told with its line?"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numasim.calibration import published, validate
from numasim.calibration.published import Cell, Curve
from numasim.calibration.readers import formats, mlc
from numasim.calibration.readers.measured import ALL_SOCKETS, Measured, together
from numasim.errors import UserError
from numasim.machine import load

DATA = Path(__file__).resolve().parents[1] / "data/calibration"
HOSTS = ("icx-8360y-2s", "bdw-2680v4-2s-cod", "genoa-9224-2s-cxl", "ivb-2680v2-2s")
C2C = "Measuring cache-to-cache transfer latency (in ns)...\n"
IDLE = "Measuring idle latencies (in ns)...\n\t\tNuma node\nNuma node\t     0\t     1\t\n"


def by_place(cells):
    return {(cell.quantity, cell.where): cell.value for cell in cells}


def reading(tmp_path, text, name="log.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return mlc.read(path)


@pytest.mark.parametrize("host", HOSTS)
def test_a_log_holds_what_the_hosts_tables_hold(host):
    """The tables of calibration/hosts, read by published.load, and a log with the same numbers agree in every cell."""
    expected, found = published.load(host), mlc.read(DATA / f"mlc_{host}.txt")
    wanted = by_place(cell for cell in expected.cells if cell.quantity != "pairs")
    assert by_place(found.cells) == pytest.approx(wanted, rel=1e-12)
    if expected.curve is None:
        assert found.curve is None
    else:
        np.testing.assert_allclose(found.curve.gbps, expected.curve.gbps, rtol=1e-12)
        np.testing.assert_array_equal(found.curve.ns, expected.curve.ns)
        np.testing.assert_array_equal(found.curve.delays, expected.curve.delays)
        assert found.curve.sockets == ALL_SOCKETS


def test_the_environment_is_told():
    found = mlc.read(DATA / "mlc_icx-8360y-2s.txt").environment
    assert found["instrument"] == "Intel MLC v3.10"
    assert found["idle access"] == "random"
    assert "not be switched off" in found["prefetchers"]
    assert mlc.read(DATA / "mlc_bdw-2680v4-2s-cod.txt").environment["command"].startswith("--latency_matrix; --band")


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n").encode(),
        lambda text: text.expandtabs().encode(),
        lambda text: ("\ufeff" + text).encode("utf-16-le"),
        lambda text: "".join(f"> {line}\n" for line in text.splitlines()).encode(),
        lambda text: "".join(f"\x1b[0m{line}\x1b[K\n" for line in text.splitlines()).encode(),
        lambda text: text.replace("Numa node", "NUMA node").replace("Numa Node", "NUMA Node").encode(),
    ],
    ids=["CRLF", "tabs expanded", "UTF-16", "quoted", "coloured", "NUMA"],
)
def test_how_a_log_was_kept_does_not_matter(tmp_path, host, change):
    text = (DATA / f"mlc_{host}.txt").read_bytes().decode()
    assert by_place(reading(tmp_path, change(text)).cells) == by_place(mlc.read(DATA / f"mlc_{host}.txt").cells)


def test_a_part_of_a_log_is_enough(tmp_path):
    text = (DATA / "mlc_icx-8360y-2s.txt").read_text()
    sections = text.split("Measuring ")
    for section in sections[1:]:
        found = reading(tmp_path, "Measuring " + section)
        kinds = {cell.quantity for cell in found.cells} | ({"loaded"} if found.curve else set())
        assert len(kinds) == 1


def test_runs_in_one_log_become_medians(tmp_path):
    runs = [IDLE + f"       0\t  {a}\t 142.0\t\n       1\t 142.0\t  90.0\t\n\n" for a in (80.0, 100.0, 84.0)]
    loaded = [f"Measuring Loaded Latencies for the system\n 00000\t {ns}\t 1000.0\n" for ns in (90, 100, 130)]
    found = reading(tmp_path, "".join(runs + loaded))
    assert by_place(found.cells)["idle", (0, 0)] == 84.0
    assert found.curve.ns.tolist() == [100.0]
    assert found.environment["runs"] == "3: medians"


def test_the_peak_has_another_heading_in_old_versions(tmp_path):
    """Up to v3.3: "Measuring Peak Memory Bandwidths for the system", as Intel's own description of v3.0 has it."""
    found = reading(tmp_path, "Measuring Peak Memory Bandwidths for the system\nALL Reads        :\t49427.4\n")
    assert by_place(found.cells) == {("peak", (1, 0)): 49.4274}


@pytest.mark.parametrize("remark", ["  // always 145", " # local", '" <--- the limit is 81'])
def test_remarks_beside_figures_are_passed_over(tmp_path, remark):
    """As people send logs to each other: a row with a word on it, a point in inverted commas."""
    quote = '"' if remark.startswith('"') else ""
    rows = f"{quote}       0\t  80.0\t 142.0{remark}\n       1\t 142.0\t  80.0\n"
    loaded = f"Measuring Loaded Latencies for the system\n{quote}00100   98.94    68357.8{remark}\n"
    found = reading(tmp_path, IDLE + rows + loaded)
    assert len(found.cells) == 4
    assert found.curve.ns.tolist() == [98.94]


def test_a_log_inside_comments_is_a_log(tmp_path):
    text = "".join(f"# {line}\n" for line in (IDLE + "       0\t  80.0\t 142.0\t\n").splitlines())
    assert by_place(reading(tmp_path, text).cells) == {("idle", (0, 0)): 80.0, ("idle", (0, 1)): 142.0}


def test_nodes_without_free_memory_are_left_out(tmp_path):
    found = reading(tmp_path, IDLE + "       0\t  80.0\t-\t\n       1\t 142.0\t-\t\n")
    assert set(by_place(found.cells)) == {("idle", (0, 0)), ("idle", (1, 0))}


def test_what_no_cell_holds_is_named(tmp_path):
    text = (
        "Intel(R) Memory Latency Checker - v3.9\n"
        "Measuring idle latencies (in ns) for all cores...\n\t\tNuma node\nCPU\t     0\t\n     0\t  81.0\t\n\n"
        "Measuring Peak Injection Memory Bandwidths for the system\nALL Reads        :\t100000.0\t\n"
        "Stream-triad like:\t90000.0\t\n\n"
        "Measuring Memory Bandwidths between nodes within system \n"
        "Using traffic with the following read-write ratio: 2:1\n"
        "\t\tNuma node\nNuma node\t     0\t\n       0\t50000.0\t\n"
    )
    found = reading(tmp_path, text)
    assert by_place(found.cells) == {("peak", (1, 0)): 100.0, ("triad", (2, 1)): 90.0}
    for part in ("each CPU", "bandwidth matrix of other than reads"):
        assert part in found.environment["left out"]


def test_a_drive_in_place_of_nodes_is_no_node(tmp_path):
    drive = "Measuring idle latencies (in ns)...\n\tSCM Drive\nNuma node\t/mnt/pmem0\n       0\t 300.0\t\n"
    found = reading(tmp_path, IDLE + "       0\t  80.0\t 140.0\t\n\n" + drive)
    assert set(by_place(found.cells)) == {("idle", (0, 0)), ("idle", (0, 1))}
    assert "drive" in found.environment["left out"]


@pytest.mark.parametrize(
    "clocks", ["core clocks (\t80.9\tns)", "base frequency clocks (\t80.9\tns)", "core clocks ( 80.9    ns)"]
)
def test_a_single_idle_latency_is_that_of_node_0(tmp_path, clocks):
    head = "Intel(R) Memory Latency Checker - v3.7\nCommand line parameters: {}\n"
    line = f"Each iteration took 186.1 {clocks}\n"
    assert by_place(reading(tmp_path, head.format("--idle_latency -r") + line).cells) == {("idle", (0, 0)): 80.9}
    with pytest.raises(UserError, match="no figures"):
        reading(tmp_path, head.format("--idle_latency -c40 -j1") + line)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (IDLE + "       0\t  80.0\n", 4, "1 values"),
        (IDLE + "       0\t  80.0\t  1x3\t\n", 4, "1x3"),
        (IDLE + "       0\t  80.0\t nan\t\n", 4, "nan"),
        (IDLE + "       0\t  80.0\t 0.0\t\n", 4, "0.0"),
        (IDLE + "       0\t  80.0\t -3\t\n", 4, "-3"),
        (IDLE + "       0\t  80.0\t 2e9\t\n", 4, "2e9"),
        (IDLE + "       0\t  80.0\t 99.0\t\n       0\t  80.0\t 99.0\t\n", 5, "row 0"),
        (IDLE + "       7\t  80.0\t 99.0\t\n", 4, "row 7"),
        (IDLE.replace("0\t     1", "1\t     0") + "", 3, "columns 1 0"),
        (IDLE + "       0\t80.0\t99.0\t\n\n" + IDLE.replace("1\t\n", "1\t     2\t\n"), 8, "matrix of 3 nodes"),
        ("Measuring Loaded Latencies for the system\n 00000\t 264.04\n", 2, "2 values"),
        ("Measuring Loaded Latencies for the system\n 00000\t 264.04\t fast\n", 2, "fast"),
        ("Measuring Peak Injection Memory Bandwidths for the system\nALL Reads        :\t\n", 2, "''"),
        (C2C + "Local Socket L2->L2 HIT  latency\n", 2, "''"),
        (C2C + "Local Socket L2->L2 HIT  latency\t1e999\n", 2, "1e999"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, line, reason):
    with pytest.raises(UserError) as told:
        reading(tmp_path, text)
    assert told.value.where == f"{tmp_path / 'log.txt'}:{line}"
    assert reason in told.value.what
    assert told.value.expected


def test_a_log_cut_anywhere_is_read_in_part_or_told_with_a_line(tmp_path):
    """No cut makes a wrong number: what is read is a part of the whole, or the line that was cut is named."""
    text = (DATA / "mlc_icx-8360y-2s.txt").read_text()
    whole = by_place(mlc.read(DATA / "mlc_icx-8360y-2s.txt").cells)
    told = 0
    for end in range(10, len(text), 7):
        try:
            found = by_place(reading(tmp_path, text[:end]).cells)
        except UserError as error:
            told += "log.txt" in error.where
            continue
        last = text[:end].rsplit("\n", 1)[1]
        cut = {key for key, value in found.items() if value != whole[key]}
        assert len(cut) <= 1 and (not cut or last), "only the last number of a cut line may be cut short"
    assert told


@pytest.mark.parametrize(
    "text", ["", "\n \n", "Intel(R) Memory Latency Checker - v3.9\n", "Measuring idle latencies (in ns)...\n"]
)
def test_a_log_without_figures_is_told(tmp_path, text):
    with pytest.raises(UserError):
        reading(tmp_path, text)


def written(nodes, memories, idle, gbps, points, c2c):
    """A log as MLC prints it, written here a second time, from its printf forms."""
    heads = "".join(f"{n:6d}\t" for n in range(memories))
    out = ["Intel(R) Memory Latency Checker - v3.11a", "Measuring idle latencies for random access (in ns)..."]
    out += ["\t\tNuma node", "Numa node\t" + heads]
    out += [f"{n:8d}\t" + "".join(f"{idle[n][m]:6.1f}\t" for m in range(memories)) for n in range(nodes)]
    out += ["", "Measuring Memory Bandwidths between nodes within system ", "Using Read-only traffic type"]
    out += ["\t\tNuma node", "Numa node\t" + heads]
    out += [f"{n:8d}\t" + "".join(f"{gbps[n][m]:.1f}\t" for m in range(memories)) for n in range(nodes)]
    out += ["", "Measuring Loaded Latencies for the system", "Using Read-only traffic type"]
    out += ["Inject\tLatency\tBandwidth", "Delay\t(ns)\tMB/sec", "=" * 26]
    out += [f" {delay:05d}\t{ns:6.2f}\t{mbps:9.1f}" for delay, ns, mbps in points]
    out += ["", C2C.strip(), f"Local Socket L2->L2 HIT  latency\t{c2c[0]:.1f}"]
    return "\n".join(out) + "\n"


tenths = st.integers(10, 9_999_999).map(lambda n: n / 10)


@given(data=st.data(), nodes=st.integers(1, 8), extra=st.integers(0, 2))
def test_what_is_written_is_read_again(tmp_path_factory, data, nodes, extra):
    memories = nodes + extra
    square = st.lists(st.lists(tenths, min_size=memories, max_size=memories), min_size=nodes, max_size=nodes)
    idle, mbps = data.draw(square), data.draw(square)
    delays = data.draw(st.lists(st.integers(0, 99_999), min_size=1, max_size=8, unique=True))
    points = [(delay, data.draw(tenths), data.draw(tenths)) for delay in delays]
    c2c = [data.draw(tenths)]
    path = tmp_path_factory.mktemp("logs") / "log"
    path.write_text(written(nodes, memories, idle, mbps, points, c2c))
    assert formats.recognise(path) is formats.MLC
    found = mlc.read(path)
    cells = by_place(found.cells)
    for n in range(nodes):
        for m in range(memories):
            assert cells.pop(("idle", (n, m))) == pytest.approx(idle[n][m], abs=0.051)
            assert cells.pop(("bandwidth", (n, m))) == pytest.approx(mbps[n][m] / 1e3, abs=1e-9)
    assert cells == {("c2c", ("local_L2_to_L2_HIT", "", "")): c2c[0]}
    expected = sorted((mbps / 1e3, ns) for _, ns, mbps in points)
    np.testing.assert_allclose(np.stack([found.curve.gbps, found.curve.ns], 1), expected)


@pytest.mark.parametrize(
    ("idle", "bandwidth", "doubt"),
    [
        ((106.9, 107.2), (50.4, 50.3), "dealt out over sockets"),  # node interleaving, 2 x E5-2630 v4
        ((81.1, 144.5), (108.0, 19.5), "bandwidth of the nodes' own memories is from 19.5 to 108"),  # DIMMs amiss
        ((90.6, 146.4), (96.3, 96.1), ""),
    ],
)
def test_what_no_model_can_show_is_noted(idle, bandwidth, doubt):
    """idle: own and other memory.  bandwidth: the two nodes' own. Of logs that people have published."""
    cells = [Cell("idle", (a, b), idle[a != b]) for a in (0, 1) for b in (0, 1)]
    cells += [Cell("bandwidth", (n, n), bandwidth[n]) for n in (0, 1)]
    sheet = published.load("clx-6240-2s").sheet
    notes = together("one", sheet, load("clx-6240-2s"), {"log": Measured(cells, None, {})}).notes
    assert doubt in " ".join(notes)
    assert len(notes) == bool(doubt)


def test_a_curve_cut_short_before_its_knee_is_compared_by_its_peak(monkeypatch):
    """Three points at full load, as a page shows of a longer log: there is nothing below the knee to compare."""
    cut = Curve(np.array([222.64, 222.67, 222.68]), np.array([429.1, 417.5, 412.8]), 1)
    monkeypatch.setattr(validate, "simulated_at", lambda machine, measured: (cut.ns, 201.4, 164.0))
    names = [row.name for row in validate.curve_rows(load("genoa-9354p-nps1"), cut)]
    assert names == ["loaded, peak", "loaded, latency at the peak"]
