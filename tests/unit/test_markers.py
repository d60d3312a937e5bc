"""Do the marker files compile as shipped, and store what the reader of logs looks for?"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from numasim.assets import shipped

PAGE = 0x0A0000000000
OFFSETS = [0x80, 0x00, 0x48, 0x50, 0x100, 0x400, 0x3F8, 0x6F8, 0x40]  # in the order the programs below call them
C = """\
#include "numasim_markers.h"
int main(void) {
    numasim_warm_up(); numasim_count(); numasim_operation_begins(); numasim_operation_ends();
    numasim_stretch_begins(0); numasim_stretch_ends(0); numasim_stretch_begins(95); numasim_stretch_ends(95);
    numasim_end(); return 0;
}
"""
RUST = """\
mod numasim_markers;
use numasim_markers as m;
fn main() {
    m::map_page(); m::warm_up(); m::count(); m::operation_begins(); m::operation_ends();
    m::stretch_begins(0); m::stretch_ends(0); m::stretch_begins(95); m::stretch_ends(95); m::end();
}
"""
GO = """\
package main
func main() {
    NumasimWarmUp(); NumasimCount(); NumasimOperationBegins(); NumasimOperationEnds()
    NumasimStretchBegins(0); NumasimStretchEnds(0); NumasimStretchBegins(95); NumasimStretchEnds(95); NumasimEnd()
}
"""
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]


def offsets_of(words: list[str], valgrind: str) -> list[int]:
    """Offsets of the stores to the page of the markers, as a program makes them."""
    subprocess.run(words, check=True)  # outside of a recording the program runs as well
    options = ["--tool=lackey", "--trace-mem=yes", "--basic-counts=no", "--log-fd=1"]
    log = subprocess.run([valgrind, *options, *words], capture_output=True, text=True, check=True).stdout
    stores = [(int(a, 16), int(size)) for a, size in re.findall(r"^ [SM] ([0-9a-f]+),(\d+)$", log, re.MULTILINE)]
    mine = [(address - PAGE, size) for address, size in stores if address // 4096 == PAGE // 4096]
    assert {size for _, size in mine} == {8}
    return [offset for offset, _ in mine]


@pytest.mark.parametrize(("compiler", "name"), [("gcc", "a.c"), ("g++", "a.cc")])
def test_c_and_cxx(tmp_path: Path, program: Callable[[str], str], compiler: str, name: str) -> None:
    (tmp_path / name).write_text(C)
    built = tmp_path / "a.out"
    standard = ["-std=c99"] if compiler == "gcc" else []
    words = [*standard, *STRICT, f"-I{shipped('markers')}", "-o", str(built), str(tmp_path / name)]
    subprocess.run([program(compiler), *words], check=True)
    assert offsets_of([str(built)], program("valgrind")) == OFFSETS


def test_rust(tmp_path: Path, program: Callable[[str], str]) -> None:
    (tmp_path / "numasim_markers.rs").write_text((shipped("markers") / "numasim_markers.rs").read_text())
    (tmp_path / "a.rs").write_text(RUST)
    built = tmp_path / "a.out"
    words = ["--deny", "warnings", "-O", "-o", str(built), str(tmp_path / "a.rs")]
    subprocess.run([program("rustc"), *words], check=True)
    assert offsets_of([str(built)], program("valgrind")) == OFFSETS


def test_go(tmp_path: Path, program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    go = program("go")
    monkeypatch.setenv("GO111MODULE", "off")
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    files = tmp_path / "numasim_markers.go", tmp_path / "a.go"
    files[0].write_text((shipped("markers") / "numasim_markers.go").read_text())
    files[1].write_text(GO)
    words = [str(file) for file in files]
    subprocess.run([go, "vet", *words], check=True, cwd=tmp_path)
    subprocess.run([go, "build", "-o", str(tmp_path / "a.out"), *words], check=True, cwd=tmp_path)
    assert offsets_of([str(tmp_path / "a.out")], program("valgrind")) == OFFSETS


def test_they_are_short_and_printed_as_they_are(cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for language, name in {"c": "numasim_markers.h", "go": "numasim_markers.go", "rust": "numasim_markers.rs"}.items():
        text = (shipped("markers") / name).read_text()
        assert len(text.splitlines()) < 40
        done = cli("trace", "markers", language)
        assert (done.returncode, done.stdout) == (0, text)
    done = cli("trace", "markers", "cobol")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "rust" in done.stderr
