"""Do addresses get the names and lines that the compiler, nm and addr2line give them?"""

import bisect
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from numasim.traces.parquet import CodeFile
from numasim.traces.symbols import Place, Symbols, demangled

BIAS = 0x108000
SOURCE = """\
#include <map>
static __attribute__((noinline)) long twice(long x) { return 2 * x; }
namespace shop {
struct Cart {
    std::map<long, long> items;
    __attribute__((noinline)) long get(long key) const {
        auto at = items.find(key);
        return at == items.end() ? 0 : at->second;
    }
};
}
int main(int count, char **) {
    shop::Cart cart;
    for (long i = 0; i < 100; i++) cart.items[i * count] = twice(i);
    return int(cart.get(7));
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Path:
    folder = tmp_path_factory.mktemp("symbols")
    (folder / "shop.cc").write_text(SOURCE)
    for version in ("4", "5"):
        words = ["-g", f"-gdwarf-{version}", "-O1", "-o", str(folder / f"shop{version}"), str(folder / "shop.cc")]
        subprocess.run([program("g++"), *words], check=True)
    return folder


def symbols_of(path: Path) -> Symbols:
    return Symbols([CodeFile(str(path), BIAS, BIAS, BIAS + (1 << 24))])


def functions(path: Path, nm: str) -> list[tuple[int, int, str]]:
    """Start, size and plain name of the functions, by nm."""
    text = subprocess.run([nm, "-C", "-S", "--defined-only", str(path)], capture_output=True, text=True, check=True)
    rows = (line.split(maxsplit=3) for line in text.stdout.splitlines())
    return [(int(r[0], 16), int(r[1], 16), r[3]) for r in rows if len(r) == 4 and r[2] in "tTwW"]


@pytest.mark.parametrize("version", ["4", "5"])
def test_functions_are_those_of_nm_and_lines_those_of_addr2line(
    built: Path, program: Callable[[str], str], version: str
) -> None:
    path = built / f"shop{version}"
    symbols, dice = symbols_of(path), random.Random(1)
    places = []
    for start, size, name in functions(path, program("nm")):
        offset = dice.randrange(size)
        place = symbols.place(BIAS + start + offset)
        assert (place.function, place.offset) == (name, offset)
        places.append((start + offset, place))
    asked = "\n".join(f"{address:#x}" for address, _ in places)
    told = subprocess.run(
        [program("addr2line"), "-e", str(path)], input=asked, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    compared = 0
    for (_, place), line in zip(places, told, strict=False):
        if not line.startswith("?"):
            source, number = line.split(" ")[0].rsplit(":", 1)
            assert (Path(place.source).resolve(), str(place.line)) == (Path(source).resolve(), number)
            compared += 1
    assert compared > 5, "main, twice, get and parts of std::map have lines"


def test_names_read_as_in_the_source(built: Path) -> None:
    path = built / "shop5"
    symbols = symbols_of(path)
    names = {symbols.place(BIAS + s).name for s, _, _ in symbols._elf_of(str(path)).functions}
    assert {"main+0x0", "twice(long)+0x0", "shop::Cart::get(long) const+0x0"} <= names


def test_an_address_of_no_file_stays_a_number(built: Path) -> None:
    symbols = symbols_of(built / "shop5")
    assert symbols.place(0x1000) == Place(0x1000)
    assert symbols.place(0x1000).name == "0x1000"
    assert symbols.of_site("other") is None and symbols.of_site("unknown") is None
    assert symbols.of_site("0x1000") == Place(0x1000)


def test_a_file_that_is_gone_or_none_gives_its_name_and_an_address(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ELF file")
    for name in ("text", "gone"):
        found = Symbols([CodeFile(str(tmp_path / name), 0x1000, 0x1000, 0x9000)]).place(0x1234)
        assert (found.name, found.function, found.line) == (f"{name}+0x234", "", 0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_cut_short_names_nothing_wrong(built: Path, tmp_path: Path, share: float) -> None:
    whole = (built / "shop5").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(share * len(whole))])
    found = Symbols([CodeFile(str(tmp_path / "cut"), 0, 0, 1 << 20)]).place(0x1200)
    assert found.file and found.line >= 0


def test_cxx_names() -> None:
    assert demangled("_ZNKSt6vectorIlSaIlEE4sizeEv") == "std::vector<long, std::allocator<long> >::size() const"
    assert demangled("main") == "main"
    assert demangled("_Zno such name") == "_Zno such name"


def test_where_functions_do_not_reach_there_is_none(built: Path) -> None:
    path = built / "shop5"
    symbols = symbols_of(path)
    known = symbols._elf_of(str(path)).functions
    end = next(s + n for s, n, name in known if name == "main")
    after = known[bisect.bisect_left([s for s, _, _ in known], end)][0]
    if after > end:  # padding between two functions
        assert symbols.place(BIAS + end).function == ""
    assert symbols.place(BIAS + end - 1).function == "main"
