"""Are core-to-core matrices, Mess curves and likwid-bench sweeps read as they were written, and told apart?"""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numasim.calibration import published
from numasim.calibration.readers import core_matrix, formats, likwid, mess, mlc
from numasim.errors import UserError
from numasim.machine import load

ROOT = Path(__file__).resolve().parents[2]
DATA, HOSTS = ROOT / "tests/data/calibration", ROOT / "calibration/hosts"
CORES = DATA / "cores_icx-8360y-2s.csv"


@pytest.fixture(scope="module")
def icx():
    return load("icx-8360y-2s")


def file_of(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def medians(cells):
    return {cell.where[0]: cell.value for cell in cells}


# ---- core to core ----


def test_medians_of_a_matrix_are_the_published_ones(icx):
    """calibration/hosts has medians of the first hardware threads, computed when the matrix was collected."""
    with (HOSTS / "icx-8360y-2s/core_to_core.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["cpus"] == "first hardware threads"]
    found = core_matrix.cells(core_matrix.read(CORES).matrix, icx)
    assert medians(found.cells) == {row["pair_class"]: float(row["median_ns"]) for row in rows}


def shown(matrix, form):
    """The CSV of a lower triangle in one of the forms that are about."""
    size = len(matrix)
    cells = [[f"{matrix[i][j]}" if j < i else "" for j in range(size)] for i in range(size)]
    if form == "full":
        cells = [[f"{matrix[max(i, j)][min(i, j)]}" if i != j else "" for j in range(size)] for i in range(size)]
    elif form == "nan":
        cells = [[word or "NaN" for word in row] for row in cells]
    elif form == "named":
        cells = [["", *map(str, range(size))], *[[str(i), *row] for i, row in enumerate(cells)]]
    elif form == "headed":
        cells = [[f"CPU{i}" for i in range(size)], *cells]
    elif form in ("printed", "wrapped"):
        return printed(matrix, 3 if form == "wrapped" else size)
    elif form == "list":
        cells = [["core_i", "core_j", "one_way_latency_ns"]]
        cells += [[str(i), str(j), f"{matrix[i][j]}"] for i in range(size) for j in range(i)]
    return "".join(",".join(row) + "\n" for row in cells)


def printed(matrix, wide):
    """What core-to-core-latency prints, on a terminal for so many values, which may be fewer than there are."""
    size = len(matrix)
    rows = [[f"{ns}±0" for ns in matrix[cpu][:cpu]] for cpu in range(size)]

    def lines(words):
        return ["   ".join(words[at : at + wide]) for at in range(0, len(words), wide)] or [""]

    text = ["CPU: EPYC 7453", f"Num cores: {size}", "", "1) CAS latency on a single shared cache line", ""]
    text.append("           " + "       ".join(map(str, range(size))))
    for cpu, row in enumerate(rows):
        first, *rest = lines(row)
        text += [f"{cpu:>7}   {first}", *(f"  {line}" for line in rest)]
    return "\n".join([*text, "", "    Min  latency: 21.3ns ±0.1 cores: (5,3)", "    Mean latency: 120.0ns", ""])


latencies = st.integers(1, 99_999).map(lambda n: n / 10)


@pytest.mark.parametrize("form", ["triangle", "full", "nan", "named", "headed", "list", "printed", "wrapped"])
@given(data=st.data(), size=st.integers(3, 9))
def test_a_matrix_is_the_same_in_every_form(tmp_path_factory, form, data, size):
    matrix = [[data.draw(latencies) for _ in range(i)] for i in range(size)]
    path = file_of(tmp_path_factory.mktemp("matrix"), shown(matrix, form))
    assert formats.recognise(path) is formats.CORES
    found = core_matrix.read(path).matrix
    assert np.isnan(np.diag(found)).all()
    for i in range(size):
        for j in range(i):
            assert found[i, j] == found[j, i] == pytest.approx(matrix[i][j])


def numbered(icx, cpu_of):
    """A matrix of the machine with 10 ns between threads, 50 in a socket, 110 across; cpu_of(core, thread) numbers."""
    t = icx.topology
    place = {cpu_of(core, thread): core for core in range(t.cores) for thread in range(2)}
    core = np.array([place[cpu] for cpu in range(t.cpus)])
    socket = np.array(t.core_socket)[core]
    matrix = np.where(core[:, None] == core, 10.0, np.where(socket[:, None] == socket, 50.0, 110.0))
    np.fill_diagonal(matrix, np.nan)
    return matrix


@pytest.mark.parametrize(
    ("cpu_of", "words"),
    [
        (lambda core, thread: core + 72 * thread, "socket by socket"),
        (lambda core, thread: 2 * core + thread, "side by side"),
        (lambda core, thread: 2 * (core % 36) + core // 36 + 72 * thread, "in turn"),
    ],
)
def test_how_cpus_are_numbered_is_found_out(icx, cpu_of, words):
    found = core_matrix.cells(numbered(icx, cpu_of), icx)
    assert words in found.numbering
    assert medians(found.cells) == {"smt_sibling": 10.0, "same_socket": 50.0, "cross_socket": 110.0}


def test_cores_of_one_l3_domain_are_a_class_of_their_own():
    machine = load("icx-8360y-2s-snc2")
    t = machine.topology
    domain, socket = np.array(t.core_domain), np.array(t.core_socket)
    matrix = np.where(domain[:, None] == domain, 40.0, np.where(socket[:, None] == socket, 60.0, 110.0))
    np.fill_diagonal(matrix, np.nan)
    found = medians(core_matrix.cells(matrix, machine).cells)
    assert found == {"same_ccx_or_cluster": 40.0, "same_socket": 60.0, "cross_socket": 110.0}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (",,\n40.1,,\n50.2,48.3\n", 3, "2 columns"),
        (",,\n40.1,,\n50.2,x,\n", 3, "'x'"),
        (",,\n40.1,,\n50.2,-4,\n", 3, "'-4'"),
        (",,\n40.1,,\n50.2,inf,\n", 3, "'inf'"),
        ("core_i,core_j,one_way_latency_ns\n1,0\n", 2, "2 values"),
        ("core_i,core_j,one_way_latency_ns\n1,0,40\n1,0,41\n", 3, "the pair 1, 0"),
        ("core_i,core_j,one_way_latency_ns\n1,1,40\n", 2, "the pair 1, 1"),
        ("core_i,core_j,one_way_latency_ns\n1,99999999,40\n", 2, "CPU"),
        ("core_i,core_j,one_way_latency_ns\n1,0,0\n", 2, "'0'"),
        ("  0 1 2\n 0\n 1 29±0\n 2 24±0\n\n", 4, "1 values of CPU 2"),
        ("  0 1 2\n 0\n 1 29±0\n 2 24±0 0±0\n", 4, "'0'"),
    ],
)
def test_a_wrong_matrix_is_told_with_its_line(tmp_path, text, line, reason):
    with pytest.raises(UserError) as told:
        core_matrix.read(file_of(tmp_path, text))
    assert told.value.where.endswith(f"a.csv:{line}")
    assert reason in told.value.what


@pytest.mark.parametrize("text", ["core_i,core_j,ns\n", ",,\n,,\n,,\n", "0,1\n", "\n"])
def test_a_matrix_without_latencies_is_told(tmp_path, text):
    with pytest.raises(UserError):
        core_matrix.read(file_of(tmp_path, text))


def test_a_matrix_of_a_larger_machine_is_told():
    with pytest.raises(UserError, match="72 CPUs"):
        core_matrix.cells(core_matrix.read(CORES).matrix, load("teaching-2s"))


# ---- Mess ----


@pytest.mark.parametrize(
    ("file", "host"),
    [
        ("mess_graviton3", "graviton3"),
        ("mess_graviton3/bwlat_100.txt", "graviton3"),
        ("mess_spr-8480-2s.csv", "spr-8480-2s"),
    ],
)
def test_a_curve_is_the_published_one(file, host):
    expected, found = published.load(host).curve, mess.read(DATA / file).curve
    np.testing.assert_allclose(found.gbps, expected.gbps)
    np.testing.assert_array_equal(found.ns, expected.ns)
    assert found.sockets == 1


def test_the_hosts_own_table_is_a_curve_too():
    expected = published.load("rome-7742").curve
    found = mess.read(HOSTS / "rome-7742/bandwidth_latency.csv").curve
    np.testing.assert_array_equal(np.stack([found.gbps, found.ns]), np.stack([expected.gbps, expected.ns]))


def test_the_curve_with_most_reads_counts(tmp_path):
    for share in (100, 50, 98.5):
        (tmp_path / f"bwlat_{share}.txt").write_text(f"10000 {share}\n200000 {share + 100}\n")
    found = mess.read(tmp_path)
    assert found.curve.ns.tolist() == [100.0, 200.0]
    assert found.environment["reads"] == "100 %"
    assert found.curve.gbps.tolist() == [10.0, 200.0]


def test_negative_bandwidth_is_left_out_and_told(tmp_path):
    found = mess.read(file_of(tmp_path, "-725.4 97.8\n3392.9 98.1\n10115.1 98.6\n", "bwlat_100.txt"))
    assert found.curve.gbps.tolist() == [3.3929, 10.1151]
    assert found.environment["left out"].startswith("1 points")


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("1000 90\n2000\n", ":2", "1 values"),
        ("1000 90\n2000 fast\n", ":2", "'fast'"),
        ("1000 90\n2000 0\n", ":2", "'0'"),
        ("1000 90\n", "", "1 points"),
        ("read_pct,bandwidth_GBps,latency_ns\n100,5\n", ":2", "2 values"),
        ("read_pct,bandwidth_GBps,latency_ns\n-1,5,90\n", ":2", "'-1'"),
        ("read_pct,bandwidth_GBps,latency_ns\n", "", "no rows"),
    ],
)
def test_a_wrong_curve_is_told(tmp_path, text, where, reason):
    path = file_of(tmp_path, text)
    with pytest.raises(UserError) as told:
        mess.read(path)
    assert told.value.where == f"{path}{where}"
    assert reason in told.value.what


# ---- likwid-bench ----


def test_a_sweep_is_the_published_one():
    with (HOSTS / "icx-8360y-2s/read_bandwidth_by_cores.csv").open(newline="") as lines:
        expected = {int(row["cores"]): float(row["bandwidth_GBps"]) for row in csv.DictReader(lines)}
    found = {cell.where[0]: cell.value for cell in likwid.read(DATA / "likwid_icx-8360y-2s.txt").cells}
    assert set(found) == {1, 2, 9, 18, 19, 36}
    assert found == pytest.approx({cores: expected[cores] for cores in found})


def output(threads, mbps, kernel="load", size=2 << 30):
    return (
        f"LIKWID MICRO BENCHMARK\nTest: {kernel}\nUsing 1 work groups\nUsing {threads} threads\n"
        f"Size (Byte):            {size}\nMFlops/s:               0.00\nMByte/s:                {mbps:.2f}\n"
    )


def test_memory_counts_and_not_caches_and_reads_and_not_writes(tmp_path):
    text = output(4, 900_000, size=1 << 16) + output(4, 60_000) + output(4, 64_000) + output(4, 30_000, "copy_avx")
    found = likwid.read(file_of(tmp_path, text))
    assert [(cell.where, cell.value) for cell in found.cells] == [((4,), 62.0)]
    assert "copy_avx" in found.environment["left out"]


@pytest.mark.parametrize(
    ("text", "gbps"),
    [
        ("threads,MByte/s\n1,15370.5\n2,29300\n", [15.3705, 29.3]),
        ("kernel,threads,GB/s\nload,1,15.5\nload,2,29.25\n", [15.5, 29.25]),
        ("nthreads,bandwidth\n1,15370500000.0\n2,29300000000.0\n", [15.3705, 29.3]),
        ((HOSTS / "icx-8360y-2s/read_bandwidth_by_cores.csv").read_text().split("3,")[0], [15.37, 29.3]),
    ],
)
def test_sweeps_as_csv(tmp_path, text, gbps):
    path = file_of(tmp_path, text)
    assert formats.recognise(path) is formats.LIKWID
    assert [cell.value for cell in likwid.read(path).cells] == pytest.approx(gbps)


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("MByte/s: 100\n", ":1", "how many threads"),
        (output(2, 5).replace("5.00", ""), ":7", "''"),
        (output(0, 5), ":4", "'0' threads"),
        (output(1, 5, "store"), "", "store"),
        ("threads,MByte/s\n1,\n", ":2", "''"),
        ("threads,MByte/s\n1\n", ":2", "1 values"),
        ("LIKWID MICRO BENCHMARK\nTest: load\n", "", "no figures"),
    ],
)
def test_a_wrong_sweep_is_told(tmp_path, text, where, reason):
    path = file_of(tmp_path, text)
    with pytest.raises(UserError) as told:
        likwid.read(path)
    assert told.value.where == f"{path}{where}"
    assert reason in told.value.what


# ---- which is which ----


@pytest.mark.parametrize(
    ("file", "reader"),
    [
        ("mlc_icx-8360y-2s.txt", mlc.read),
        ("mlc_bdw-2680v4-2s-cod.txt", mlc.read),
        ("cores_icx-8360y-2s.csv", core_matrix.read),
        ("mess_graviton3", mess.read),
        ("mess_graviton3/bwlat_100.txt", mess.read),
        ("mess_spr-8480-2s.csv", mess.read),
        ("likwid_icx-8360y-2s.txt", likwid.read),
    ],
)
def test_a_format_is_told_from_what_is_in_the_file(file, reader):
    assert formats.recognise(DATA / file).read is reader


@given(raw=st.binary(max_size=300))
def test_no_file_ends_in_a_traceback(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(raw)
    try:
        formats.read(path)
    except UserError as error:
        assert error.where  # noqa: PT017 an answer is as good as a complaint


@pytest.mark.parametrize("text", ["hello\nworld\n", "name,value\nspeed,12\n", "{}", '{"a": 1}', "# only a comment\n"])
def test_what_is_unknown_is_told_with_what_there_is(tmp_path, text):
    with pytest.raises(UserError) as told:
        formats.read(file_of(tmp_path, text))
    assert told.value.expected


def test_folders_and_missing_files_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError):
            formats.read(path)
