"""Pages of studies as Markdown, and as HTML files that need no network. Imports no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorae.reports.formatting import markdown_table
from lorae.reports.page_figures import plotted
from lorae.reports.templating import data_uri, environment
from lorae.reproduction.pages.blocks import (
    ORDERS,
    OUTCOMES,
    SIGNS,
    Block,
    ClaimResult,
    Details,
    Gallery,
    Note,
    Page,
    Picture,
    Text,
)
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
        return f"- {SIGNS[block.holds]} **{OUTCOMES[block.holds]}**: {block.claim}. Seen: {block.seen}."
    if isinstance(block, Details):
        # `markdown`: MkDocs reads Markdown inside HTML only with it; GitHub does in any case.
        paragraphs = "\n\n".join(block.words)
        return f'<details markdown="1">\n<summary>{block.title}</summary>\n\n{paragraphs}\n\n</details>'
    rows = [(row[0], _signed(row[1]), *row[2:]) for row in block.rows] if block.judges else block.rows
    return f"## {block.caption}\n\n{markdown_table(block.header, rows)}"


def _signed(words: str) -> str:
    """Return words of `ORDERS` with their sign."""
    return next((f"{SIGNS[outcome]} {words}" for outcome, known in ORDERS.items() if known == words), words)


def _gallery(block: Gallery) -> str:
    tables = []
    for start in range(0, len(block.shown), BESIDE):
        part = block.shown[start : start + BESIDE]
        images = [f"![{label}]({path.as_posix()})" for label, path in part]
        tables.append(markdown_table([label for label, _ in part], [images]))
    return "\n\n".join([f"## {block.caption}", *tables])


def claims_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """Return the claims of a result of `lorae.reproduction.reproduce` as a Markdown table."""
    rows = [
        (row["study"], row["claim"], f"{SIGNS[row['holds']]} **{OUTCOMES[row['holds']]}**", row["seen"])
        for row in claims
    ]
    return markdown_table(("study", "claim", "here", "seen"), rows)


def write_html(page: Page, folder: Path) -> Path:
    """Write `folder/NAME.html`, which contains its pictures, and return its path."""
    text = (
        environment()
        .get_template("study.html")
        .render(
            page=page,
            blocks=[(type(block).__name__, block) for block in page.blocks],
            plotted=lambda block, key: plotted(key, block.caption, block.caption, block.caption, block.draw).plot,
            outcome=lambda verdict: OUTCOMES[verdict.holds],
            orders={words: outcome for outcome, words in ORDERS.items()},
            source=lambda path: data_uri((folder / path).read_bytes()),
        )
    )
    path = folder / f"{page.name}.html"
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path
