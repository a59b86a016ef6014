"""Classes by which the style sheet lays out tables and options, since CSS cannot see how long a text is."""

import html
import re
from typing import Any

# Marks of claims: a font without emoji draws a box in their place.
MARKS = {"✅": "✓", "❌": "✗", "➖": "–"}
TABLE = re.compile(r"<table>.*?</table>", re.S)
ROW = re.compile(r"<tr>.*?</tr>", re.S)
CELL = re.compile(r"<(t[dh])([^>]*)>(.*?)</\1>", re.S)
# Code within a text; blocks of code have an empty span before them.
CODE = re.compile(r"(?<!<span></span>)<code>([^<]+)</code>")
# A browser breaks such words after the hyphen or before the bracket.
BREAKABLE = re.compile(r"[^\s<]*[-\[][^\s<]*")
# An option within a text, outside of tags.
OPTION = re.compile(r"(?<![\w>-])(--[a-z][\w.-]*\w)(?![^<]*>)")
# A field of the reference without a description ends with its type, not with a dash.
NO_DESCRIPTION = re.compile(r'\s+–\s*<div class="doc-md-description">\s*</div>')
# Longer words must break on a phone, which has room for 40 characters of code.
WHOLE = 30


def text_of(cell: str) -> str:
    """Return the text of a cell, without tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()


def is_short(cell: str, column: int) -> bool:
    """Return whether a cell stays on one line: a number with its spread, a name, one piece of code."""
    text = text_of(cell)
    if "<img" in cell:
        return False
    if re.fullmatch(r"<code>[^<]*</code>", cell.strip()):
        return len(text) <= 24
    return len(text) <= 20 and (column == 0 or any(character.isdigit() for character in text))


def table_with_widths(table: str) -> str:
    """Return a table with classes for its short cells and for the columns that hold sentences."""
    columns: dict[int, int] = {}
    for row in ROW.findall(table):
        for column, (_, _, cell) in enumerate(CELL.findall(row)):
            columns[column] = max(columns.get(column, 0), len(text_of(cell)))

    def heading(column: int) -> str:
        if len(columns) < 3 or columns[column] <= 22:  # two columns fit on a phone
            return ""
        return "sentences" if columns[column] > 80 else "words"

    def marked_row(row: re.Match[str]) -> str:
        column = -1

        def marked(match: re.Match[str]) -> str:
            nonlocal column
            column += 1
            tag, attributes, cell = match.groups()
            found = heading(column) if tag == "th" else "short" if is_short(cell, column) else ""
            return f'<{tag}{attributes} class="{found}">{cell}</{tag}>' if found else match[0]

        return CELL.sub(marked, row[0])

    return ROW.sub(marked_row, table)


def whole_words(match: re.Match[str]) -> str:
    """Return code whose words stay whole: a browser breaks an option after its first two characters."""
    return "<code>{}</code>".format(
        BREAKABLE.sub(
            lambda word: f'<span class="whole">{word[0]}</span>' if len(html.unescape(word[0])) <= WHOLE else word[0],
            match[1],
        )
    )


def on_page_content(content: str, **_: Any) -> str:
    """Mark the tables and the code of a page."""
    for mark, plain in MARKS.items():
        content = content.replace(mark, plain)
    content = TABLE.sub(lambda match: table_with_widths(match[0]), content)
    content = OPTION.sub(r'<span class="whole">\1</span>', CODE.sub(whole_words, content))
    return NO_DESCRIPTION.sub("", content)
