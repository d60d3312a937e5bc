"""numasim trace: traces of real programs."""

from typing import Annotated, Any

import typer

from numasim.cli import options, trace_info, trace_placement, trace_record, trace_samples

app = typer.Typer(help="Work with traces of real programs.")
MARKERS = {"c": "numasim_markers.h", "go": "numasim_markers.go", "rust": "numasim_markers.rs"}


@app.callback()
def _verbs() -> None:
    """Work with traces of real programs."""


# what comes after the program's name is the program's
app.command(context_settings={"allow_interspersed_args": False})(trace_record.record)
app.command()(trace_info.info)
app.command()(trace_samples.samples)
app.command()(trace_placement.placement)


@app.command()
def convert(
    log: Annotated[
        str, typer.Argument(metavar="FILE", help="Another tool's trace, plain, .gz or .xz; - for standard input.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The trace to write (Parquet).")],
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="lackey, drmemtrace, champsim, champsim-cloudsuite, ramulator; default: by the file."
        ),
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE@BIAS",
            help="A lackey log's program or library, and what was added to its addresses (under valgrind 0x108000 for "
            "a position-independent program): then it is known which load needs which. Repeatable.",
        ),
    ] = None,
    only: trace_record.Only = None,
    name: trace_record.Names = None,
    json: options.Json = False,
) -> None:
    """Convert another tool's trace into one for `numasim run MODEL trace file=FILE`."""
    from numasim.cli.progress import progress
    from numasim.cli.words import given
    from numasim.traces.code import images
    from numasim.traces.readers import formats

    log, output = given(log, "FILE", "a file, or -"), given(output, "--output", "a file name")
    if log == "-" and format is None:
        format = "lackey"  # what is piped cannot be looked at first
    more: dict[str, Any] = {"code": images.parse(code)} if code else {}
    more |= {"only": only} if only is not None else {}
    more |= {"names": trace_record.stretch_names(name)} if name else {}
    with progress() as report:
        done = formats.convert(
            log, output, format, progress=lambda n: report(f"{n / 1e6:.1f} million read", -1), **more
        )
    if json:
        from numasim.results.json import text_of

        print(text_of({"output": output, **done._asdict()}))
        return
    branches = f", {done.branches:,} branches" if done.branches else ""
    print(
        f"{output}: {done.loads:,} loads, {done.stores:,} stores{branches} and {done.instructions:,} instructions "
        f"from {done.read:,} {done.unit}; {done.threads} thread(s), {done.sites:,} call sites"
    )
    print(f"Which load needs which: {done.dependence}.")
    for note in done.notes:
        print(note)


@app.command()
def markers(
    language: Annotated[str, typer.Argument(metavar="c|go|rust", help="c serves C++ too.")] = "c",
) -> None:
    """Print the file that marks what counts in a program: numasim trace markers c > numasim_markers.h"""
    from numasim.assets import shipped
    from numasim.errors import UserError

    if language not in MARKERS:
        raise UserError(f"no markers for {language!r}", "trace markers", " or ".join(MARKERS))
    print((shipped("markers") / MARKERS[language]).read_text(encoding="utf-8"), end="")
