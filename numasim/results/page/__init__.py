"""A result as one page for a browser: it holds all it needs and asks no network for anything.

The charts are drawn by plotly.js, whole inside the page (4.8 MB of the 5): tried at a quarter of a desktop's speed, as
a phone has it, they are there after a second. What is no chart (text, tables, the machine's map) is plain HTML and SVG,
and is there without JavaScript.
"""

from importlib.resources import files
from pathlib import Path

from numasim.results.files import replacing
from numasim.results.json import check_writable
from numasim.results.page.markup import document, tag
from numasim.results.page.sections import charts_of, head, sections
from numasim.results.result import Result

__all__ = ["render", "write"]


def write(result: Result, path: str | Path) -> None:
    """Write the page to a file, all or nothing. Raises UserError if it cannot be written."""
    check_writable(path, "--html")
    with replacing(path) as beside:
        beside.write_text(render(result), encoding="utf-8")


def render(result: Result) -> str:
    """The page's HTML. Names in the result may be anything: they are shown, never obeyed."""
    from plotly.offline import get_plotlyjs

    drawn, stacks = charts_of(result)
    body = tag("body", tag("main", head(result), sections(result, drawn, stacks)))
    own = files("numasim.results.page")
    style, script = (own.joinpath(file).read_text(encoding="utf-8") for file in ("page.css", "page.js"))
    title = str(result.provenance.get("title") or "numasim result")
    return document(title, style, body, (get_plotlyjs(), script), {"charts": drawn, "stacks": stacks})
