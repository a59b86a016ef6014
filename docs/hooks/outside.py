"""Files outside docs/ on the site: pages of the repository, pictures of results/ and scripts of examples/.

The pages in docs/ link to them by relative paths, as a code host needs. Here they become files of the site, without a
copy in the repository, and the links lead to them.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
# Path in the repository -> page of the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "results/README.md": "records.md",
}
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
# A link whose text is the name of a page, as it is written for a code host.
NAMED = re.compile(r"\[([\w/]+\.md)\]\(([^)\s#]+\.md)")
# A page that a docstring or a message names.
MENTION = re.compile(r"(?<![\w/])docs/(\w+)\.md(#[\w-]+)?")
FENCE = re.compile(r"^(```.*?^```)", re.M | re.S)
SCRIPT = re.compile(r"^Script: \[[^]]*\]\(([^)]+\.py)\)$", re.M)


def site_path(path: str) -> str:
    """Return the path on the site of a path in the repository; PluginError for one that does not exist."""
    if not (ROOT / path).exists():
        raise PluginError(f"a page links to {path}, which does not exist")
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        return site_path(f"{path.split('/')[0]}/README.md")
    return f"repository/{path.removesuffix('.py')}.md" if path.endswith(".py") else f"repository/{path}"


def repository_path(page: str) -> str:
    """Return the path in the repository of a page of the site."""
    return next((path for path, name in PAGES.items() if name == page and name != "index.md"), f"docs/{page}")


def linked(markdown: str, page: str) -> list[str]:
    """Return the paths in the repository to which a page, named by its own path there, links."""
    text = FENCE.sub("", markdown)
    targets = [
        target for _, target, _ in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")
    ]
    return [posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) for target in targets]


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/ and everything that a page links to."""
    for path, name in PAGES.items():
        if name != "index.md":
            files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    wanted: set[str] = set()
    for file in list(files.documentation_pages()):
        page = repository_path(file.src_uri)
        wanted.update(path for path in linked(file.content_string, page) if not path.startswith("docs/"))
    for path in sorted(wanted):
        name = site_path(path)
        if files.get_file_from_path(name) is None:
            if path.endswith(".py"):
                files.append(File.generated(config, name, content=script_page(path)))
            else:
                files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def script_page(path: str) -> str:
    """Return a page that shows a script."""
    return f"# {path}\n\n{code_block(path)}\n"


def code_block(path: str) -> str:
    """Return a script as a block of code."""
    return f"```python\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead the links of a page to the files of the site, and show the scripts of the gallery."""
    here = repository_path(page.file.src_uri)
    folder = posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        if path == "README.md":  # the site's first page has other sections
            after = ")"
        return f"{before}{posixpath.relpath(site_path(path), folder or '.')}{after}"

    def shown(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[1]))
        return f"## The script\n\n`{path}`\n\n{code_block(path)}"

    def titled(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[2]))
        return f"[{title(path)}]({match[2]}"

    markdown = SCRIPT.sub(shown, markdown)
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(moved, NAMED.sub(titled, part)) for part in parts)


def title(path: str) -> str:
    """Return the first heading of a page, named by its path in the repository."""
    found = re.search(r"^# (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.M)
    if found is None:
        raise PluginError(f"{path} has no heading")
    return found[1]


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Link the pages that docstrings name, in the reference."""
    if not page.file.src_uri.startswith("api/"):
        return content
    return MENTION.sub(
        lambda match: f'<a href="../{match[1]}.html{match[2] or ""}">{title(f"docs/{match[1]}.md")}</a>', content
    )
