"""The trace file: Parquet, one row a record, threads interleaved as they ran. docs/traces.md describes it.

Columns (all unsigned but the address, which is int64 as recorded: a trace is moved to a compact space at replay):
`thread site` 16 bits, `kind size insns dep0 dep1 dep2 lag0 lag1 lag2 fwd taken` 8 bits, `address`. They mean what
numasim.traces.records says, but `site` counts up to 65,535, and `insns` is 0 for a further access of the same
instruction. The file's metadata hold a JSON object under the key `numasim_trace`: see Meta.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.records import CHUNK, KINDS, PREFETCH

KEY = b"numasim_trace"
VERSION = 1
GROUP = 1 << 19  # rows a row group should have: a writer's caller hands over this many at a time
EXPECTED = "a trace written by `numasim trace record` or `convert`"


class Columns(NamedTuple):
    """Rows of a trace file, a column each. A field may be 0-d: the same for all rows."""

    address: npt.NDArray[np.int64]
    thread: npt.ArrayLike = 1
    site: npt.ArrayLike = 0
    kind: npt.ArrayLike = 0
    size: npt.ArrayLike = 8
    insns: npt.ArrayLike = 1
    dep0: npt.ArrayLike = 0
    dep1: npt.ArrayLike = 0
    dep2: npt.ArrayLike = 0
    lag0: npt.ArrayLike = 0
    lag1: npt.ArrayLike = 0
    lag2: npt.ArrayLike = 0
    fwd: npt.ArrayLike = 0
    taken: npt.ArrayLike = 0


TYPES: dict[str, Any] = dict.fromkeys(Columns._fields, np.uint8)
TYPES |= {"address": np.int64, "thread": np.uint16, "site": np.uint16}


class Range(msgspec.Struct, frozen=True):
    """A named stretch of the recorded program's address space: start <= address < end."""

    name: str
    start: int
    end: int


class CodeFile(msgspec.Struct, frozen=True):
    """A file whose code ran: at start <= address < end, `bias` more than the addresses in the file."""

    path: str
    bias: int
    start: int
    end: int


class Stretch(msgspec.Struct, frozen=True):
    """What ran between the markers of a named stretch: how often it was entered, and what its threads did in it."""

    id: int
    name: str
    entries: int
    accesses: int
    instructions: int


class Meta(msgspec.Struct, frozen=True):
    """What a trace file says of itself.

    reader: what made it ("lackey").  source: the recorded command line, where known.  dependence: "exact" where dep0 to
    dep2 say what a load needs; "unknown" where only an instruction's own load is known.  markers: a region of interest
    was cut.  sites: names by number.  threads: their numbers.  regions: see Range.  counts: what the reader counted.
    zero: columns that are 0 throughout, so need not be read (the writer fills this in).  partial: the recording was
    stopped before the program ended.  code: the files that held its code.  stretches: see Stretch.
    """

    version: int = VERSION
    reader: str = ""
    source: str = ""
    dependence: str = "unknown"
    markers: bool = False
    sites: list[str] = []
    threads: list[int] = []
    regions: list[Range] = []
    counts: dict[str, int] = {}
    zero: list[str] = []
    partial: bool = False
    code: list[CodeFile] = []
    stretches: list[Stretch] = []


class Writer:
    """Writes a trace file, row group by row group, beside its place; `commit` puts it there in one step.

    To be used with `with`: leaving the block before `commit`, by an error or by Ctrl-C, leaves no file, and whatever
    was at the place before is untouched. Raises UserError if the place cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self.rows = 0
        self._zero = set(TYPES)
        if self.path.exists() and not self.path.is_file():
            raise UserError("not a regular file", str(path), "a file name to write the trace to")
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._open()

    def _open(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(name, pa.from_numpy_dtype(kind)) for name, kind in TYPES.items()])
        try:
            self._file: Any = pq.ParquetWriter(
                self._part,
                schema,
                compression="zstd",
                use_dictionary=[name for name in TYPES if name != "address"],
                column_encoding={"address": "BYTE_STREAM_SPLIT"},  # half as large as plain, and no slower
                write_page_checksum=True,
            )
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror or error}", str(self.path)) from error

    def write(self, columns: Columns) -> None:
        """Append rows, as one row group."""
        import pyarrow as pa

        rows = len(columns.address)
        full = {name: np.broadcast_to(np.asarray(c, TYPES[name]), rows) for name, c in columns._asdict().items()}
        self._zero -= {name for name in self._zero if full[name].any()}
        table = pa.table({name: pa.array(np.ascontiguousarray(full[name])) for name in TYPES})
        try:
            self._file.write_table(table, row_group_size=max(rows, 1))
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror or error}", str(self.path)) from error
        self.rows += rows

    def restart(self) -> None:
        """Forget all rows written so far."""
        self._close()
        self.rows, self._zero = 0, set(TYPES)
        self._open()

    def commit(self, meta: Meta) -> None:
        """Write the metadata and put the file in its place."""
        meta = msgspec.structs.replace(meta, zero=sorted(self._zero))
        self._file.add_key_value_metadata({KEY: msgspec.json.encode(meta)})
        try:
            self._file.close()
            os.replace(self._part, self.path)
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror or error}", str(self.path)) from error

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)


class Reader:
    """Reads a trace file in chunks: memory does not grow with the trace. `meta`: see Meta; `rows`: how many there are.

    Raises UserError if the file is missing, cut short, damaged, or not a trace; damage inside is found when read.
    """

    def __init__(self, path: str | Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = str(path)
        if not Path(path).is_file():
            raise UserError("a folder" if Path(path).is_dir() else "no such file", self.path, EXPECTED)
        try:
            self._file: Any = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
            text = (self._file.schema_arrow.metadata or {}).get(KEY) or (self._file.metadata.metadata or {}).get(KEY)
            types = {field.name: field.type for field in self._file.schema_arrow}
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UserError("no Parquet file, or one cut short", self.path, EXPECTED) from error
        if text is None or any(types.get(name) != pa.from_numpy_dtype(kind) for name, kind in TYPES.items()):
            raise UserError("a Parquet file, but no numasim trace", self.path, EXPECTED)
        try:
            self.meta = msgspec.json.decode(text, type=Meta)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(f"its metadata are damaged: {error}", self.path, EXPECTED) from error
        if self.meta.version != VERSION:
            raise UserError(f"trace format {self.meta.version}", self.path, f"format {VERSION}")
        self.rows = int(self._file.metadata.num_rows)

    def chunks(self, names: Sequence[str] = Columns._fields, rows: int = CHUNK) -> Iterator[Columns]:
        """At most `rows` rows at a time, of the named columns (`address` among them); others keep their defaults."""
        import pyarrow as pa

        try:
            for batch in self._file.iter_batches(rows, columns=list(names)):
                found = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in names}
                self._check(found)
                yield Columns(**found)
        except (pa.ArrowException, OSError) as error:
            raise UserError("the trace is damaged", self.path, EXPECTED) from error

    def _check(self, found: dict[str, npt.NDArray[Any]]) -> None:
        """The engine trusts records: let no number through that it could not hold."""
        if "kind" in found and found["kind"].max(initial=0) >= len(KINDS):
            raise UserError(f"a record of unknown kind {found['kind'].max()}", self.path, EXPECTED)
        if "kind" in found and "size" in found:
            size = found["size"][found["kind"] <= PREFETCH]
            if size.size and not 0 < size.min() <= size.max() <= 64:
                raise UserError("an access of no bytes or of more than 64", self.path, EXPECTED)
