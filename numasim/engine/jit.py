"""How kernels are compiled: the only file of the engine that knows numba is there, with vectors.py.

@kernel     a component function. Called from Python it is the plain function (what the reference scheduler runs);
            called from compiled code it is compiled and inlined.
@rare       the same, but not inlined: for what is seldom called.
@entry      what Python calls: the event loop. The only function kept in the disk cache.
table(m)    the numbers of a nested NamedTuple and the addresses of its arrays, in one array.
unfold(cls) a function for compiled code: table -> Ref(cls), by which kernels see the NamedTuple: one pointer. A field
            is loaded where it is used, as a C struct's is, and a function is given the machine for the price of one
            argument. (With every pointer loaded at the start, they filled 3 KiB of stack, and reading them back stalled
            on the simulation's stores that happened to lie 4 KiB apart: a third of the time in one process of two.)
prefetch    a hint to the host's memory; nothing in Python.

NUMASIM_CHECK=1 compiles with arrays and bounds checks in place of pointers (slow; the tests run in it too).
"""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
CHECK = bool(os.environ.get("NUMASIM_CHECK"))

try:
    import llvmlite
    import numba
    from llvmlite import ir
    from numba.core import types
    from numba.core.typing.templates import AttributeTemplate, infer_getattr
    from numba.extending import (
        intrinsic,
        lower_getattr_generic,
        models,
        overload,
        register_jitable,
        register_model,
    )

    HAVE_NUMBA = True
except ImportError:  # a browser, say: the reference scheduler still runs
    HAVE_NUMBA = False

_options = {
    "error_model": "numpy",
    "boundscheck": CHECK,
    "_nrt": not CHECK,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def kernel(f: F) -> F:
    """A component function: plain in Python, compiled and inlined where compiled code calls it."""
    return register_jitable(**_options, forceinline=True)(f) if HAVE_NUMBA else f


def rare(f: F) -> F:
    """A component function seldom called: compiled as a function of its own. (Unless told, it would inherit its
    caller's wish to be inlined, and the loop would grow beyond what LLVM makes good code of.)"""
    return register_jitable(**_options, forceinline=False)(f) if HAVE_NUMBA else f


# ---- disk cache: numba looks only at the file of the cached function, never at those of its callees. So the folder
# is named after all sources of the engine, and a change of any of them compiles anew.


def _digest() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {CHECK}".encode())
    here = Path(__file__).parent
    for file in [*sorted(here.glob("**/*.py")), here.parent / "traces" / "records.py"]:  # whose numbers are compiled in
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _trusted(path: Path) -> bool:
    """Is this folder ours alone? What lies in it will be loaded as code."""
    info = path.lstat()
    ours = not hasattr(os, "getuid") or (info.st_uid == os.getuid() and info.st_mode & 0o022 == 0)
    return ours and stat.S_ISDIR(info.st_mode) and os.access(path, os.W_OK)


def cache_folder() -> str:
    """Folder for compiled code, made if need be; "" if no place is writable and private (then nothing is cached).

    Tried in order: $NUMASIM_CACHE, $XDG_CACHE_HOME, ~/.cache, the folder for temporary files.
    """
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    roots = [os.environ.get("NUMASIM_CACHE"), os.environ.get("XDG_CACHE_HOME"), os.path.expanduser("~/.cache")]
    for root in [Path(r) / "numasim" for r in roots if r] + [Path(tempfile.gettempdir()) / f"numasim-{user}"]:
        with contextlib.suppress(OSError):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = root / f"engine-{_digest()}"
            path.mkdir(exist_ok=True, mode=0o700)
            if _trusted(root) and _trusted(path):
                _prune(root, path)
                return str(path)
    return ""


def _prune(root: Path, keep: Path) -> None:
    """Leave the four youngest compiled engines; another checkout may still use its own."""
    old = sorted((p for p in root.glob("engine-*") if p != keep), key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in old[3:]:
        shutil.rmtree(folder, ignore_errors=True)  # one that another process is using or has removed stays, or is gone


CACHE = cache_folder() if HAVE_NUMBA else ""


def is_compiled(loop: str) -> bool:
    """Does the disk cache hold this engine's compiled code of a loop, one of those in compiled.py?"""
    return bool(CACHE) and any(Path(CACHE).rglob(f"compiled.{loop}-*.nbc"))


def entry(f: F) -> F:
    """What Python calls: compiled at its first call, or loaded from the disk cache."""
    if not HAVE_NUMBA:
        return f
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, CACHE  # read when decorating; others keep theirs
    try:
        return numba.njit(error_model="numpy", boundscheck=CHECK, nogil=True, cache=bool(CACHE), _nrt=not CHECK)(f)
    finally:
        numba.config.CACHE_DIR = before


@contextlib.contextmanager
def one_compiles() -> Iterator[None]:
    """Of several processes that start at once, one compiles and the others load what it made."""
    if not CACHE or os.name != "posix":
        yield
        return
    import fcntl

    with open(os.path.join(CACHE, "lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ---- pointers in place of arrays --------------------------------------------------------------------------------


def flat(m: Any) -> Iterator[Any]:
    """The numbers and arrays of a nested NamedTuple, in order."""
    for value in m:
        if isinstance(value, tuple):
            yield from flat(value)
        else:
            yield value


def table(m: Any) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """What `unfold` reads: numbers as they are, flat arrays as addresses. The arrays must outlive its use."""
    return np.array([v.ctypes.data if isinstance(v, np.ndarray) else v for v in flat(m)], np.int64)


def prefetch(array: Any, index: int) -> None:
    """Tell the host's memory that array[index] will be used soon. Nothing in Python."""


if HAVE_NUMBA:
    I64 = ir.IntType(64)

    class Ref(types.Type):
        """A nested NamedTuple in a table: one pointer, where in the table it begins. Its fields are loaded where they
        are used, as those of a C struct are."""

        def __init__(self, cls: Any, fixed: Mapping[str, int]) -> None:
            self.fields: dict[str, tuple[Any, int]] = {}
            self.words, self.fixed = 0, fixed
            for name, hint in get_type_hints(cls).items():
                kind = _kind(hint, fixed)
                self.fields[name] = kind, self.words
                self.words += kind.words if isinstance(kind, Ref) else 1
            super().__init__(name=f"Ref({cls.__module__}.{cls.__qualname__}, {sorted(fixed.items())})")

    def _kind(hint: Any, fixed: Mapping[str, int]) -> Any:
        """numba's type of a field: a number, a nested NamedTuple, else a pointer to the array's elements."""
        if hint is int:
            return types.int64
        if isinstance(hint, type) and issubclass(hint, tuple):
            return Ref(hint, fixed)
        return types.CPointer(types.uint32 if get_args(get_args(hint)[1]) == (np.uint32,) else types.int64)

    @register_model(Ref)
    class _RefModel(models.PrimitiveModel):
        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, ir.PointerType(I64))

    @infer_getattr
    class _RefAttribute(AttributeTemplate):
        key = Ref

        def generic_resolve(self, kind: Any, name: str) -> Any:
            return kind.fields[name][0]

    @lower_getattr_generic(Ref)
    def _load_field(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
        field, offset = kind.fields[name]
        if name in kind.fixed:
            return I64(kind.fixed[name])
        where = builder.gep(value, [I64(offset)], source_etype=I64)
        if isinstance(field, Ref):
            return where
        word = builder.load(where, typ=I64)
        return builder.inttoptr(word, context.get_value_type(field)) if isinstance(field, types.CPointer) else word

    def unfold(cls: Any, fixed: Mapping[str, int]) -> Any:
        """A function table -> cls, for compiled code. fixed: fields that are these numbers, whatever the table says."""
        whole = Ref(cls, fixed)

        @intrinsic
        def unfolded(typingctx: Any, numbers: Any) -> Any:
            def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
                return context.make_array(sig.args[0])(context, builder, args[0]).data

            return whole(numbers), codegen

        return unfolded

    @intrinsic
    def _prefetch(typingctx: Any, p: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            i32 = ir.IntType(32)
            ptr = builder.gep(args[0], [args[1]], source_etype=context.get_data_type(sig.args[0].dtype))
            kind = ir.FunctionType(ir.VoidType(), [ptr.type, i32, i32, i32])
            hint = builder.module.declare_intrinsic("llvm.prefetch", [ptr.type], kind)
            builder.call(hint, [ptr, i32(1), i32(3), i32(1)])  # for writing, keep, data
            return context.get_dummy_value()

        return types.void(p, types.intp), codegen

    @overload(prefetch, inline="always", strict=False)
    def _prefetch_compiled(array: Any, index: Any) -> Any:
        if isinstance(array, types.CPointer):
            return lambda array, index: _prefetch(array, index)
        return lambda array, index: None
