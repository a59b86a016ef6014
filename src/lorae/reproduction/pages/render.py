"""Pages of studies as Markdown, and as HTML files that need no network. Imports no torch."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from lorae.reports.formatting import markdown_table
from lorae.reports.templating import data_uri, environment
from lorae.reproduction.pages.blocks import OUTCOMES, Block, ClaimResult, Gallery, Note, Page, Picture, Text
from lorae.system.files import write_atomically

# Pictures beside each other in Markdown; more would be too small, as columns share the width of the page.
BESIDE = 3


def write_markdown(page: Page, folder: Path) -> Path:
    """Write `folder/NAME.md`, with links to the pictures in the folder, and return its path."""
    path = folder / f"{page.name}.md"
    write_atomically(path, markdown(page).encode(errors="backslashreplace"))
    return path


def markdown(page: Page) -> str:
    """Return the page in GitHub's Markdown."""
    parts = [f"# {page.name}: {page.title}", *(_block(block) for block in page.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return block.words
    if isinstance(block, Note):
        return f"> **Note.** {block.words}"
    if isinstance(block, Picture):
        return f"![{block.caption}]({block.path.as_posix()})\n\n{block.caption}"
    if isinstance(block, Gallery):
        return _gallery(block)
    if isinstance(block, ClaimResult):
        return f"- **{OUTCOMES[block.holds]}**: {block.claim}. Seen: {block.seen}."
    return f"## {block.caption}\n\n{markdown_table(block.header, block.rows)}"


def _gallery(block: Gallery) -> str:
    tables = []
    for start in range(0, len(block.shown), BESIDE):
        part = block.shown[start : start + BESIDE]
        images = [f"![{label}]({path.as_posix()})" for label, path in part]
        tables.append(markdown_table([label for label, _ in part], [images]))
    return "\n\n".join([f"## {block.caption}", *tables])


def claims_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """Return the claims of a result of `lorae.reproduction.reproduce` as a Markdown table."""
    rows = [(row["study"], row["claim"], f"**{OUTCOMES[row['holds']]}**", row["seen"]) for row in claims]
    return markdown_table(("study", "claim", "here", "seen"), rows)


def write_html(page: Page, folder: Path) -> Path:
    """Write `folder/NAME.html`, which contains its pictures, and return its path."""
    templates = environment()
    templates.filters["code"] = _with_code
    text = templates.get_template("study.html").render(
        page=page,
        blocks=[(type(block).__name__, block) for block in page.blocks],
        outcome=lambda verdict: OUTCOMES[verdict.holds],
        source=lambda path: data_uri(folder / path),
    )
    path = folder / f"{page.name}.html"
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path


def _with_code(words: str) -> Markup:
    """Return text with parts in backquotes as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))
