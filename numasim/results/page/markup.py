"""HTML as a tree of elements, so that whatever a name holds is text: there is no place to forget escaping."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, tostring

# Styles stand in attributes (the length of a bar), and plotly.js makes some; a heat map is a picture it makes itself.
POLICY = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
MOST_LETTERS = 160  # of a name shown; a longer one loses its middle
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")

Child = str | Element | None | Iterable["str | Element | None"]


def tag(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element. Attributes lose a trailing _, other _ become -; those that are None are left out, as are children."""
    made = Element(name)
    for key, value in attributes.items():
        if value is not None:
            made.set(key.rstrip("_").replace("_", "-"), clean(str(value)))
    for child in children:
        for part in [child] if isinstance(child, (str, Element)) else child or ():
            _append(made, part)
    return made


def _append(parent: Element, part: str | Element | None) -> None:
    if isinstance(part, Element):
        parent.append(part)
    elif part and len(parent):
        parent[-1].tail = (parent[-1].tail or "") + clean(part)
    elif part:
        parent.text = (parent.text or "") + clean(part)


def clean(text: str) -> str:
    """Without what HTML does not allow, and without the signs that turn the direction of the text after them."""
    return _UNFIT.sub("\ufffd", text)


def short(name: str, most: int = MOST_LETTERS) -> str:
    """A name of bounded length: a long one keeps its beginning and its end."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def name(text: str) -> Element:
    """Somebody else's name: its letters' direction stays its own."""
    return tag("bdi", short(text), title=text[:2000] if len(text) > MOST_LETTERS else None)


def caption(*parts: Child) -> Element:
    """A table's caption, which wraps at the window's width even if the table is wider."""
    return tag("caption", tag("span", *parts))


def table(title: Child, heads: Iterable[Element], rows: Iterable[Element], **attributes: object) -> Element:
    """A table with its caption, whose heads are the cells of one row."""
    return tag("table", caption(title), tag("thead", tag("tr", heads)), tag("tbody", rows), **attributes)


def wide(part: Element, label: str, kind: str = "wide", **attributes: object) -> Element:
    """What may be wider than the window scrolls in a frame of its own, by keyboard too."""
    return tag("div", part, class_=kind, role="region", tabindex=0, aria_label=short(label), **attributes)


def headings(*words: str) -> list[Element]:
    """Cells that head columns."""
    return [tag("th", word, scope="col") for word in words]


def embedded(value: Any) -> str:
    """JSON that may stand inside a <script>: nothing in it can end that element, or begin a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # escapes all beyond ASCII
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def document(title: str, style: str, body: Element, scripts: Iterable[str], data: Any) -> str:
    """The page. It may load nothing from anywhere, and run only these very scripts, whose hashes it names."""
    scripts = [script.replace("</script", "<\\/script") for script in scripts]
    allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = f"default-src 'none'; script-src {allowed}; {POLICY}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", short(title)),
    )
    head.append(_raw("style", style))
    body.append(_raw("script", embedded(data), type="application/json", id="data"))
    for script in scripts:
        body.append(_raw("script", script))
    page = tag("html", head, body, lang="en")
    return "<!DOCTYPE html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def _raw(name: str, text: str, **attributes: str) -> Element:
    """An element whose text HTML reads as it is, and `method="html"` writes as it is: script and style."""
    made = Element(name, attributes)
    made.text = text
    return made


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
