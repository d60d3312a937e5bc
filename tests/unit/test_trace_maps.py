"""Does a memory map of a process under valgrind become the program's heap, stack, files, and nothing of valgrind's?"""

import os

import pytest

from numasim.traces import maps
from numasim.traces.parquet import Range

# A C program under valgrind 3.19, shortened. Its brk() heap follows ld.so; libc's zeroed data and mmap()ed memory
# follow libc; 0x58000000 and 0x1002001000 are valgrind's; the page of the markers is none of the program's data.
C_PROGRAM = """\
00108000-00109000 r--p 00000000 fe:00 2146833                            /tmp/no such/walk
00109000-0010a000 r-xp 00001000 fe:00 2146833                            /tmp/no such/walk
0010c000-0010d000 rw-p 00003000 fe:00 2146833                            /tmp/no such/walk
04000000-04001000 r--p 00000000 fe:00 338944                             /nowhere/ld.so
04033000-04035000 rw-p 00033000 fe:00 338944                             /nowhere/ld.so
04035000-04056000 rwxp 00000000 00:00 0
04835000-04837000 rw-p 00000000 00:00 0
04a18000-04a1a000 rw-p 001d3000 fe:00 339380                             /nowhere/libc.so.6 (deleted)
04a1a000-053b4000 rw-p 00000000 00:00 0
053b4000-053b5000 ---p 00000000 00:00 0
58000000-58001000 r--p 00000000 fe:00 341618                             /usr/libexec/valgrind/lackey-amd64-linux
5822d000-58232000 rw-p 0022d000 fe:00 341618                             /usr/libexec/valgrind/lackey-amd64-linux
58232000-58c25000 rw-p 00000000 00:00 0
1002001000-100278c000 rwxp 00000000 00:00 0
100278c000-100278e000 ---p 00000000 00:00 0
1ffeffe000-1fff001000 rw-p 00000000 00:00 0
a0000000000-a0000001000 rw-p 00000000 00:00 0
7eb7b400000-7eb7bc00000 rw-p 00000000 00:00 0
7f3824429000-7f382442d000 r--p 00000000 00:00 0                          [vvar]
7ffd86d40000-7ffd86d61000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def seen(*texts: str) -> maps.Seen:
    found = maps.Seen()
    for text in texts:
        found.look([maps.parse(line) for line in text.splitlines()])
    return found


def test_a_line_is_taken_apart() -> None:
    assert maps.parse(C_PROGRAM.splitlines()[2]) == (0x10C000, 0x10D000, "rw-p", 0x3000, "/tmp/no such/walk")
    assert maps.parse("04835000-04837000 rw-p 00000000 00:00 0 \n").path == ""


def test_the_regions_are_the_programs_alone() -> None:
    assert seen(C_PROGRAM).regions() == [
        Range("heap", 0x4035000, 0x4056000),
        Range("stack", 0x1FFEFFE000, 0x1FFF001000),
        Range("anonymous", 0x4835000, 0x4837000),
        Range("anonymous", 0x4A1A000, 0x53B4000),
        Range("anonymous", 0x7EB7B400000, 0x7EB7BC00000),
        Range("walk", 0x108000, 0x10A000),
        Range("walk", 0x10C000, 0x10D000),
        Range("ld.so", 0x4000000, 0x4001000),
        Range("ld.so", 0x4033000, 0x4035000),
        Range("libc.so.6", 0x4A18000, 0x4A1A000),
    ]


def test_what_grew_or_went_is_remembered() -> None:
    later = "04035000-05035000 rwxp 00000000 00:00 0 \n1ffe000000-1fff001000 rw-p 00000000 00:00 0 "
    ranges = {r.name: r for r in seen(C_PROGRAM, later).regions() if r.name in ("heap", "stack")}
    assert ranges["heap"] == Range("heap", 0x4035000, 0x5035000)
    assert ranges["stack"] == Range("stack", 0x1FFE000000, 0x1FFF001000)
    assert any(r.end == 0x53B4000 for r in seen(C_PROGRAM, later).regions()), "unmapped, but it was there"


def test_code_generated_into_executable_memory_is_no_heap() -> None:
    generated = C_PROGRAM + "60000000-60100000 rwxp 00000000 00:00 0 \n"
    assert Range("anonymous", 0x60000000, 0x60100000) in seen(generated).regions()


def test_of_many_files_the_smaller_ones_share_a_name() -> None:
    start = 0x10000000
    lines = [
        f"{start + i * 0x100000:x}-{start + i * 0x100000 + (i + 1) * 4096:x} r--p 1000 0:0 1 /d/f{i}" for i in range(30)
    ]
    names = [r.name for r in seen("\n".join(lines)).regions()]
    assert names[:2] == ["f29", "f28"]
    assert names.count("files") == 30 - maps.FILES
    assert "f5" not in names


def test_a_file_ends_with_its_zeroed_data() -> None:
    """This process's own interpreter, against what the kernel says: its .bss follows its data without a gap."""
    own = maps.read(os.getpid())
    first = next(m for m in own if m.offset == 0 and m.path == os.path.realpath("/proc/self/exe"))
    of_file = [m for m in own if m.path == first.path]
    bss = next((m for m in own if m.start == of_file[-1].end and not m.path), None)
    end = maps._zeroed_end(first)
    assert of_file[-1].end <= end <= (bss.end if bss else of_file[-1].end)


def test_a_process_that_has_ended_has_no_map() -> None:
    assert maps.read(2**22 + 1) == []


@pytest.mark.parametrize("name", ["heap", "stack"])
def test_no_program_no_region(name: str) -> None:
    assert not [r for r in maps.Seen().regions() if r.name == name]
