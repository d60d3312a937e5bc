"""Results as JSON: what `numasim run --json` prints and `numasim report` reads, as schema.json beside this says."""

import json as standard
import math
import os
import tempfile
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from numasim.errors import UserError
from numasim.results.detail import Detail, from_detail, to_detail
from numasim.results.distribution import Distribution
from numasim.results.host import Host
from numasim.results.result import Result

PERCENTILES = {"p50_ns": 50, "p90_ns": 90, "p99_ns": 99, "p999_ns": 99.9, "p9999_ns": 99.99}
_EXPECTED = "a file written by `numasim run` with -o or --json"


class _File(msgspec.Struct):
    """The keys a result is rebuilt from; the others are derived from them."""

    host: Host
    provenance: dict[str, Any]
    detail: Detail


def to_dict(result: Result) -> dict[str, Any]:
    """The object `--json` prints, as plain Python values. A latency nothing was counted of is None."""
    return {
        "access": _summary(result.access),
        "operation": _summary(result.operation),
        "groups": {
            name: {
                "access": _summary(group.access),
                "operation": _summary(group.operation),
                "read_gbps": group.read_gbps,
                "write_gbps": group.write_gbps,
            }
            for name, group in result.groups.items()
        },
        "counters": result.counters,
        "links": [
            {"from": link.source, "to": link.target, "gbps": link.gbps, "utilisation": link.utilisation}
            for link in result.links
        ],
        "memory": [
            {
                "node": memory.node,
                "read_gbps": memory.read_gbps,
                "write_gbps": memory.write_gbps,
                "utilisation": memory.utilisation,
            }
            for memory in result.memory
        ],
        "simulated_ns": result.simulated_ns,
        "partial": result.partial,
        "host": asdict(result.host),
        **({"intervals": result.provenance["intervals"]} if "intervals" in result.provenance else {}),
        "provenance": result.provenance,
        "detail": to_detail(result.raw, result.sites, result.regions),
    }


def dumps(result: Result) -> str:
    """JSON text, one line a top-level key: short enough to store, and still readable above its detail."""
    encoded = ((key, msgspec.json.encode(value, enc_hook=_plain)) for key, value in to_dict(result).items())
    lines = (f'"{key}": {value.decode()}' for key, value in encoded)
    return "{\n" + ",\n".join(lines) + "\n}\n"


def text_of(value: Any) -> str:
    """Any plain value as indented JSON text, as other verbs' `--json` print it."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode()


def loads(text: bytes | str, where: str = "") -> Result:
    """The result back from its JSON text. Raises UserError, naming `where`, for any other text."""
    try:
        file = msgspec.json.decode(text, type=_File)
        raw, sites, regions = from_detail(file.detail, file.host.cpu_s)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise UserError(f"not a numasim result: {error}", where, _EXPECTED) from None
    return Result(raw, sites, regions, file.provenance, file.host)


def write(result: Result, path: str | Path) -> None:
    """Write the JSON to a file, all or nothing: it is written beside and renamed. Raises UserError if it cannot."""
    check_writable(path)
    target = Path(path).resolve()
    try:
        if _is_device(Path(path)):
            Path(path).write_text(dumps(result), encoding="utf-8")
            return
        handle, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(dumps(result))
            os.chmod(beside, _mode())
            os.replace(beside, target)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise UserError(f"cannot write: {error.strerror}", str(target), "a file that can be written") from None


def read(path: str | Path) -> Result:
    """The result in a file. Raises UserError if there is none, or it is something else."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read: {error.strerror}", str(path), _EXPECTED) from None
    return loads(text, str(path))


def check_writable(path: str | Path, option: str = "--output") -> None:
    """Raise UserError now if nothing could be written there, not after a long run. option: where it was given."""
    if not str(path):
        raise UserError("nothing is given", option, "a file name")
    target = Path(path).absolute()
    if _is_device(target):
        return
    if target.is_dir():
        raise UserError("is a folder", str(target), "a file name")
    if not target.parent.is_dir():
        raise UserError(f"no folder {target.parent}", str(target), "a file name in a folder that exists")
    if not os.access(target.parent, os.W_OK):
        raise UserError("cannot write there", str(target), "a folder that can be written")


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the object."""
    text = files("numasim.results").joinpath("schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = standard.loads(text)
    return found


def summary(latencies: Distribution) -> dict[str, Any]:
    """Count, mean, percentiles and mean causes of a distribution, in nanoseconds; None for what is not known."""
    found: dict[str, Any] = {"count": latencies.count, "mean_ns": latencies.mean_ns, "min_ns": latencies.min_ns}
    found |= {key: latencies.percentile(p) for key, p in PERCENTILES.items()}
    found |= {"max_ns": latencies.max_ns, "stack_ns": latencies.stack_ns}
    if not latencies.count:  # JSON knows no NaN
        found["stack_ns"] = dict.fromkeys(latencies.causes, 0.0)
        found = {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in found.items()}
    return found


def _summary(latencies: Distribution | None) -> dict[str, Any] | None:
    return None if latencies is None else summary(latencies)


def _plain(value: Any) -> Any:
    """Provenance may hold numpy numbers, paths and the like."""
    return value.item() if hasattr(value, "item") else str(value)


def _is_device(path: Path) -> bool:
    """Pipes and devices (/dev/stdout, /dev/null) are written to, never replaced."""
    return path.is_relative_to("/dev") or (path.exists() and not path.is_file() and not path.is_dir())


def _mode() -> int:
    """Permissions a newly made file gets; mkstemp alone would keep it to its owner."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
