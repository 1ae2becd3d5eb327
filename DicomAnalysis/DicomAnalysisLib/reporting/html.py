"""Parts of a report that is one HTML file: no network, no script, readable on light and on dark screens.

Text is escaped wherever it is put in; only what these functions made (`Html`) goes in as it is.
Pictures are inlined as PNG on a white card, so that they read the same on every screen.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

FOOT = "Made by DicomAnalysis. For research; not a medical device."
"""The last line of a report."""
NOTE, WARNING, GOOD = "note", "warning", "good"
"""Kinds of `notice`."""

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --faint: #57606a; --line: #d0d7de;
  --band: #f6f8fa; --warn: #9a3412; --warn-paper: #fff4ec; --good: #1a6b3c; --good-paper: #edf8f1;
  --note: #0b57a4; --note-paper: #eef5fc; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e6e9ec; --faint: #a3adb8; --line: #3a424c;
  --band: #1d2228; --warn: #ffb38a; --warn-paper: #33201a; --good: #8fdcae; --good-paper: #16281e;
  --note: #9cc9f7; --note-paper: #172432; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p { margin: .5rem 0; max-width: 60rem; }
.lead { font-size: 1.1rem; }
.faint, figcaption, caption { color: var(--faint); font-size: .92rem; }
.scroll { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .92rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; vertical-align: top; }
thead th { background: var(--band); border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody th { font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.strong > * { font-weight: 600; }
.notice { border-left: 4px solid; padding: .5rem .9rem; margin: .8rem 0; border-radius: 0 4px 4px 0; }
.notice h3 { margin: 0 0 .2rem; }
.notice ul { margin: .2rem 0; padding-left: 1.2rem; }
.notice li { margin: .3rem 0; }
.warning { border-color: var(--warn); background: var(--warn-paper); } .warning h3 { color: var(--warn); }
.good { border-color: var(--good); background: var(--good-paper); } .good h3 { color: var(--good); }
.note { border-color: var(--note); background: var(--note-paper); } .note h3 { color: var(--note); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: .6rem 0; flex: 0 1 auto; max-width: 100%; }
figure img { background: #ffffff; border: 1px solid var(--line); border-radius: 4px; max-width: 100%; height: auto;
  display: block; }
figcaption { max-width: 34rem; margin-top: .3rem; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
.columns { columns: 12rem; font-family: ui-monospace, Consolas, "DejaVu Sans Mono", monospace; font-size: .88rem; }
@media print { body { max-width: none; padding: 0; } figure, .notice, tr { break-inside: avoid; } }
"""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """`value` as text in HTML; what is `Html` stays as it is, None is empty."""
    if isinstance(value, Html):
        return value
    text = "" if value is None else str(value).encode("utf-8", "replace").decode("utf-8")
    return Html(html.escape(text, quote=True))


def joined(parts: Iterable[object]) -> Html:
    """Parts one after the other, each escaped unless it is HTML."""
    return Html("\n".join(escaped(part) for part in parts))


def element(tag: str, content: object = "", /, **attributes: str) -> Html:
    """An element; an attribute ``class_`` is written ``class``."""
    written = "".join(f' {name.rstrip("_")}="{escaped(value)}"' for name, value in attributes.items() if value)
    return Html(f"<{tag}{written}>{escaped(content)}</{tag}>")


def page(title: str, body: Iterable[object], language: str = "en") -> str:
    """A whole document.

    Parameters
    ----------
    title : str
        Of the window and of the page.
    body : iterable
        What follows the title.
    language : str
    """
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Nothing may be fetched, whatever stands in the text: pictures come with the page.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>"
    )
    main = element("main", joined([element("h1", title), *body]))
    start = f'<!DOCTYPE html>\n<html lang="{escaped(language)}">'
    return f"{start}\n<head>\n{head}\n</head>\n<body>\n{main}\n</body>\n</html>\n"


def section(title: str, *content: object) -> Html:
    """A heading and what belongs to it."""
    return element("section", joined([element("h2", title), *content]))


def paragraph(text: object, class_: str = "") -> Html:
    """A paragraph."""
    return element("p", text, class_=class_)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    numbers: Iterable[int] = (),
    strong: Iterable[int] = (),
) -> Html:
    """A table; the first cell of a row is its heading.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequence
        Text, numbers or `Html`; None is an empty cell.
    caption : str
    numbers : iterable of int
        Columns set to the right.
    strong : iterable of int
        Rows in bold.
    """
    right, bold = set(numbers), set(strong)
    head = joined(
        element("th", name, scope="col", class_="number" if place in right else "")
        for place, name in enumerate(columns)
    )
    lines = []
    for number, row in enumerate(rows):
        cells = []
        for place, value in enumerate(row):
            kind = "number" if place in right else ""
            cells.append(element("td", value, class_=kind) if place else element("th", value, scope="row", class_=kind))
        lines.append(element("tr", joined(cells), class_="strong" if number in bold else ""))
    parts = [element("caption", caption)] if caption else []
    parts += [element("thead", element("tr", head)), element("tbody", joined(lines))]
    # Wide tables scroll; a keyboard reaches what scrolls.
    return element("div", element("table", joined(parts)), class_="scroll", tabindex="0")


def figure(png: bytes, alt: str, caption: object = "", width: int = 0) -> Html:
    """A picture, inlined.

    Parameters
    ----------
    png : bytes
    alt : str
        What it shows, for those who do not see it.
    caption : str
    width : int
        On the page in pixels, so that a picture of high resolution is not shown too large; 0 for its own.
    """
    data = base64.b64encode(png).decode("ascii")
    size = f' width="{width}"' if width else ""
    picture = Html(f'<img src="data:image/png;base64,{data}" alt="{escaped(alt)}"{size}>')
    return element("figure", joined([picture, element("figcaption", caption)] if caption else [picture]))


def figures(parts: Iterable[Html]) -> Html:
    """Pictures side by side where there is room."""
    return element("div", joined(parts), class_="figures")


def notice(kind: str, title: str, lines: Iterable[object]) -> Html:
    """A box that is seen first; its kind is `NOTE`, `WARNING` or `GOOD`, and its title says so in words."""
    items = element("ul", joined(element("li", line) for line in lines))
    return element("div", joined([element("h3", title), items]), class_=f"notice {kind}", role="note")


def details(summary: str, *content: object) -> Html:
    """Something that is folded away."""
    return element("details", joined([element("summary", summary), *content]))
