"""Is the code that is read what the process has, or the file holds?"""

import ctypes
import mmap
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from numasim.errors import UserError
from numasim.traces.code import images

CHAINS = (
    Path(__file__).parents[1] / "data" / "lackey" / "chains"
)  # fixed addresses: its first instruction is at 0x401000
FIRST = bytes.fromhex("31c0660f1f440000488b3f")  # xor eax, eax; nop; mov rdi, [rdi]: as `objdump -d chains` shows


def test_a_file_is_read_at_its_bias() -> None:
    code = images.Files([(str(CHAINS), 0)])
    assert code.machine == "x86_64"
    assert code.read(0x401000, 11) == FIRST
    assert code.read(0x401002, 9) == FIRST[2:]
    assert code.read(0x400FFF, 16) == code.read(0x7FFFFFFF0000, 16) == code.read(0, 16) == b""
    (file,) = code.files()
    assert (file.path, file.bias, file.start) == (str(CHAINS), 0, 0x401000)
    last = code.read(file.end - 2, 16)
    assert len(last) == 2
    assert code.read(file.end, 16) == b""
    moved = images.Files([(str(CHAINS), 0x108000)])
    assert moved.read(0x509000, 11) == FIRST
    assert moved.read(0x401000, 11) == b""


def test_only_what_is_executable_is_code() -> None:
    assert images.Files([(str(CHAINS), 0)]).read(0x400000, 4) == b"", "the ELF header lies in a segment of its own"


@pytest.mark.parametrize(
    ("text", "bias"), [("@0x1000", 0x1000), ("@4096", 4096), ("@0", 0), ("", 0), ("@0X10", 16)], ids=str
)
def test_words_with_a_bias(text: str, bias: int) -> None:
    assert images.parse([f"{CHAINS}{text}"]).files()[0].bias == bias


def test_a_file_name_may_hold_an_at_sign(tmp_path: Path) -> None:
    (tmp_path / "a@b").write_bytes(CHAINS.read_bytes())
    assert images.parse([f"{tmp_path / 'a@b'}@16"]).files()[0].bias == 16


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{CHAINS}@", "no load bias"),
        (f"{CHAINS}@x", "no load bias"),
        (f"{CHAINS}@-1", "no file and load bias"),
        (f"{CHAINS}@0xffffffffffff", "no file and load bias"),
        ("@0", "no file and load bias"),
        ("/no/such@0", "cannot be read"),
        ("/@0", "cannot be read"),
        (f"{__file__}@0", "no ELF file"),
        ("/dev/null@0", "no ELF file"),
    ],
)
def test_other_words_are_named(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        images.parse([text])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [4, 30, 64, 100, 300])
def test_a_file_cut_short_is_named(size: int, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(CHAINS.read_bytes()[:size])
    with pytest.raises(UserError, match="no ELF file"):
        images.Files([(str(tmp_path / "cut"), 0)])


def test_files_of_two_machines_do_not_go_together(tmp_path: Path) -> None:
    other = bytearray(CHAINS.read_bytes())
    other[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    (tmp_path / "arm").write_bytes(other)
    assert images.Files([(str(tmp_path / "arm"), 0)]).machine == "aarch64"
    with pytest.raises(UserError, match="code for aarch64, but others are for x86_64"):
        images.Files([(str(CHAINS), 0), (str(tmp_path / "arm"), 0)])
    other[18:20] = (8).to_bytes(2, "little")  # EM_MIPS
    (tmp_path / "mips").write_bytes(other)
    with pytest.raises(UserError, match="another machine"):
        images.Files([(str(tmp_path / "mips"), 0)])


def address_of(name: str) -> int:
    """Of a function of the C library in this process."""
    return int(ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0)


def test_a_running_process_has_what_its_files_have() -> None:
    """This process, as seen from its memory and, at the bias found, from the C library's file."""
    live = images.Live(os.getpid())
    assert live.machine == platform.machine()
    assert live.files() == [], "nothing was read"
    where = address_of("qsort")
    seen = live.read(where, 64)
    assert seen == ctypes.string_at(where, 64)
    (library,) = live.files()
    assert library.start <= where < library.end
    assert images.Files([(library.path, library.bias)]).read(where, 64) == seen


def test_code_over_the_end_of_a_block_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "BLOCK", 16)
    where = address_of("qsort")
    live = images.Live(os.getpid())
    for at in range(where, where + 40):
        assert live.read(at, 15) == ctypes.string_at(at, 15)
    assert live.read(live.files()[0].end - 4, 15) == ctypes.string_at(live.files()[0].end - 4, 4), "not beyond its end"


def test_generated_code_is_read_as_it_is_now() -> None:
    live, page = images.Live(os.getpid()), mmap.mmap(-1, 8192)
    where = ctypes.addressof(ctypes.c_char.from_buffer(page))
    page[:3] = b"abc"
    assert live.read(where, 3) == b"abc"
    page[1:3] = b"de"
    assert live.read(where, 3) == b"ade"
    page[4090:4102] = b"over the end"
    assert live.read(where + 4090, 12) == b"over the end"
    assert live.files() == [], "it is from no file"


def test_code_can_still_be_read_when_the_process_has_ended() -> None:
    program = (
        "import ctypes, mmap, sys; page = mmap.mmap(-1, 4096); page[:5] = b'hello'\n"
        "print(ctypes.addressof(ctypes.c_char.from_buffer(page)), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin and process.stdout
        where, live = int(process.stdout.readline()), images.Live(process.pid)
        assert live.read(where, 5) == b"hello"
        maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        code = next(line for line in maps if " r-xp " in line and "libc" in line)
        start = int(code.split("-")[0], 16)
        process.stdin.close()
    with open(code.split(maxsplit=5)[5], "rb") as library:
        library.seek(int(code.split()[2], 16) + 100)
        assert live.read(start + 100, 32) == library.read(32), "of a page that was not read before"
    assert live.read(where, 5) == b"hello", "a page that was"
    assert live.read(where + 4096 * 4096, 5) == b""


def test_a_process_that_never_was_has_no_code() -> None:
    live = images.Live(1 << 22)  # the kernel's largest number is less
    assert live.read(0x401000, 16) == b""
    live.forget()
    assert live.files() == []
