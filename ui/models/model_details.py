"""A model described: as a page to read, and as a text to be pasted into a message."""

from __future__ import annotations

import html
from pathlib import Path
from typing import List

from ...core.downloads import in_words
from ...qgis_io.texts import tr
from .model_views import FileView, ModelView, facts_of, title_text


def details_page(view: ModelView) -> str:
    """HTML without colours of its own."""
    rows = "".join(
        f'<tr><td style="padding-right: 8px"><b>{html.escape(name)}</b></td>'
        f"<td>{_linked(value)}</td></tr>"
        for name, value in facts_of(view)
    )
    files = "".join(f"<p>{_file_lines(each)}</p>" for each in view.files)
    heading = f"<h3>{html.escape(title_text(view))}</h3>"
    caption = f"<h4>{html.escape(tr('Files'))}</h4>" if files else ""
    return f"{heading}<table>{rows}</table>{caption}{files}"


def details_text(view: ModelView, home: Path) -> str:
    """Plain lines.

    :param home: the user's folder, whose name is left out.
    """
    lines = [title_text(view), *(f"{name}: {value}" for name, value in facts_of(view))]
    for each in view.files:
        lines.append(f"{each.file.name}: {', '.join(_file_facts(each))}")
        lines.append(f"  SHA-256 {each.file.sha256 or tr('unknown')}")
    return "\n".join(_redacted(line, home) for line in lines) + "\n"


def _linked(value: str) -> str:
    lines = map(html.escape, value.splitlines())
    return "<br>".join(
        f'<a href="{line}">{line}</a>' if line.startswith("https://") else line for line in lines
    )


def _file_lines(view: FileView) -> str:
    # Long words would keep the page from being narrow: a hash may be broken in the middle.
    digest = view.file.sha256
    halves = " ".join((digest[:32], digest[32:])) if digest else tr("unknown")
    facts = html.escape(", ".join(_file_facts(view)))
    return f"<b>{html.escape(view.file.name)}</b><br>{facts}<br>SHA-256 <code>{halves}</code>"


def _file_facts(view: FileView) -> List[str]:
    size = in_words(view.file.bytes or view.size)
    here = tr("here") if view.good else tr("damaged") if view.size else tr("not here")
    facts = [view.file.role, size, here]
    if view.file.path:
        facts.append(tr("used where it is: {}").format(view.path))
    elif view.host:
        facts.append(tr("from {}").format(view.host))
    return facts


def _redacted(line: str, home: Path) -> str:
    return line.replace(str(home), "~")
