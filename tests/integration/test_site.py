"""The documentation site: pages, anchors, equations, gallery. `make docs` itself checks the links of its pages."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
from PIL import Image

import lorae
from benchmarks import alternatives
from lorae import documentation
from lorae.cli import parser as cli
from lorae.config.methods import METHODS
from lorae.evaluation.measures import MEASURES
from lorae.penalties import all_penalties
from lorae.reports import next_steps
from studies import gallery

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
SECTIONS = {name: value for name, value in vars(documentation).items() if name.isupper()}


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def slug(heading):
    """The anchor of a heading, as code hosts and Python-Markdown make it."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def anchors(path):
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", without_code(path.read_text("utf-8")), re.M)}


def test_there_are_sections_that_messages_name():
    assert len(SECTIONS) >= 5


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_that_messages_or_reports_name_exists_and_is_named(name):
    page, anchor = SECTIONS[name].split("#")
    assert anchor in anchors(ROOT / page)
    users = [path for path in (ROOT / "src").rglob("*.py") if f"see({name})" in path.read_text("utf-8")]
    assert users or SECTIONS[name] in next_steps.SECTIONS.values()


def test_no_message_names_a_page_by_itself():
    """Docstrings and comments may: a message takes its section from `lorae.documentation`."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in (ROOT / "src").rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"Error\(.*docs/\w+\.md", line)
    ]
    assert found == []


@pytest.mark.parametrize("page", [*PAGES, "../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md"])
def test_anchors_of_links_exist(page):
    path = DOCS / page
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", without_code(path.read_text("utf-8"))):
        if "://" not in target:
            linked = (path.parent / target).resolve() if target else path
            assert anchor in anchors(linked), f"{target}#{anchor}"


def test_the_commands_of_the_pages_are_understood():
    texts = [path.read_text("utf-8") for path in PAGES.values()]
    blocks = [
        code for text in texts for name, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if not name
    ]
    commands = sorted(set(re.findall(r"^(lorae [^\n#]+)", "\n".join(blocks), re.M)))
    assert len(commands) >= 5
    for command in commands:
        assert cli.build_parser().parse_args(shlex.split(command)[1:]).command, command


def test_every_page_is_in_the_navigation():
    named = re.findall(r"[-:] ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    assert len(named) == len(set(named))
    made = {"changelog.md", "contributing.md", "records.md"}  # of files outside docs/
    assert set(named) - made == set(PAGES)


def test_the_reference_has_every_public_name():
    text = "\n".join((DOCS / page).read_text("utf-8") for page in PAGES if page.startswith("api/"))
    documented = set(re.findall(r"^::: ([\w.]+)$", text, re.M)) | set(re.findall(r"Fields of `([\w.]+)`", text))
    names = {f"lorae.{name}" for name in set(lorae.__all__) - {"__version__", "nn"}}
    names |= {f"lorae.nn.{name}" for name in lorae.nn.__all__}
    names |= {
        "lorae.estimator.SpectrumDisplay",
        "lorae.evaluation.EvaluationSettings",
        "lorae.config.settings.Settings",
    }
    names |= {"lorae.models.ModelSpec", "lorae.penalties.PenaltyContext", "lorae.runs.Run"}
    assert names <= documented


def test_the_page_of_measures_has_each_of_them():
    table = (DOCS / "metrics.md").read_text("utf-8").split("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(MEASURES)


def test_the_errors_of_other_methods_are_those_of_the_record():
    rows = json.loads(alternatives.RECORD.read_text("utf-8"))["rows"]
    assert {row["method"] for row in rows} == set(alternatives.METHODS)
    assert alternatives.table(rows) in (ROOT / alternatives.PAGE).read_text("utf-8")


def test_every_method_and_penalty_has_an_equation():
    assert [name for name, method in METHODS.items() if not method.equation] == []
    assert [name for name, penalty in all_penalties().items() if not penalty.equation] == []


def test_equations_become_mathml():
    pytest.importorskip("latex2mathml")
    pytest.importorskip("mkdocs")
    hook = runpy.run_path(str(DOCS / "hooks" / "equations.py"))
    marked = '<p><span class="arithmatex">\\(w \\lVert M \\rVert_*\\)</span></p>'
    drawn = hook["on_page_content"](marked)
    assert drawn.count("<math") == 1
    assert "arithmatex" not in drawn
    with pytest.raises(Exception, match="unknowncommand"):
        hook["on_page_content"]('<span class="arithmatex">\\(\\unknowncommand{x}\\)</span>')


def test_tables_and_options_are_marked_for_the_style_sheet():
    hook = runpy.run_path(str(DOCS / "hooks" / "layout.py"))["on_page_content"]
    rows = [
        ("th", "data", "error", "seen"),
        ("td", "swiss roll", "0.004 ± 0.001", "a sentence of words, " * 5),
        ("td", "wine", "<code>--rank auto</code>", "✅ holds, with --epochs auto"),
    ]
    table = "".join("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>" for tag, *cells in rows)
    drawn = hook(f"<table>{table}</table>")
    assert re.findall(r"<t[hd]( class=\"\w+\")?>", drawn) == [
        *("", "", ' class="sentences"'),
        *(' class="short"', ' class="short"', ""),
        *(' class="short"', ' class="short"', ""),
    ]
    assert '<code><span class="whole">--rank</span> auto</code>' in drawn
    assert '✓ holds, with <span class="whole">--epochs</span> auto' in drawn
    assert re.sub("<[^>]+>", "", drawn) == re.sub("<[^>]+>", "", table).replace("✅", "✓")  # all text stays as it was


def test_code_blocks_and_attributes_are_left_as_they_are():
    hook = runpy.run_path(str(DOCS / "hooks" / "layout.py"))["on_page_content"]
    kept = '<pre><span></span><code>x = y[a - b]\n</code></pre><p title="with --rank 3">One - two.</p>'
    assert hook(kept) == kept
    long_word = f"<code>--{'x' * 40}</code>"
    assert hook(long_word) == long_word  # it must break on a phone
    field = '<b><code>self</code></b> (<code>LoRAE</code>)\n –\n <div class="doc-md-description">{}</div>'
    assert hook(field.format("\n")) == "<b><code>self</code></b> (<code>LoRAE</code>)"
    assert hook(field.format("<p>It.</p>")) == field.format("<p>It.</p>")


def test_links_out_of_the_folder_lead_to_files_of_the_site():
    pytest.importorskip("mkdocs")
    hook = runpy.run_path(str(DOCS / "hooks" / "outside.py"))
    paths = {
        "docs/data.md": "data.md",
        "README.md": "index.md",
        "CHANGELOG.md": "changelog.md",
        "results/against-pca": "records.md",
        "results/against-pca/ratios.png": "repository/results/against-pca/ratios.png",
        "examples/own_loop.py": "repository/examples/own_loop.md",
    }
    assert {path: hook["site_path"](path) for path in paths} == paths
    with pytest.raises(Exception, match=r"gone\.png, which does not exist"):
        hook["site_path"]("results/gone.png")
    assert hook["linked"]("[a](../results/x.png)\n```\n[d](e)\n```\n", "docs/pca.md") == ["results/x.png"]


def test_the_check_of_the_site_finds_what_is_broken(tmp_path):
    pytest.importorskip("mkdocs")
    faults = runpy.run_path(str(DOCS / "hooks" / "links.py"))["faults"]
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#here">b</a><a href="#top">up</a>')
    (tmp_path / "b.html").write_text('<p id="here"></p><a href="https://example.org/">elsewhere</a>')
    assert faults(tmp_path) == []
    (tmp_path / "b.html").write_text('<script src="https://example.org/x.js"></script><img src="gone.png">')
    found = faults(tmp_path)
    assert len(found) == 3
    assert any("names no anchor" in line for line in found)
    assert any("is not in the site" in line for line in found)
    assert any("from elsewhere" in line for line in found)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path, monkeypatch):
    build = pytest.importorskip("mkdocs.commands.build")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    from mkdocs.config import load_config

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    monkeypatch.chdir(ROOT)
    build.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))  # strict: a warning aborts it
    assert (tmp_path / "search" / "search_index.js").is_file()


@pytest.mark.parametrize("name", gallery.names())
def test_a_page_of_the_gallery_shows_the_script_and_what_it_drew(name):
    page = (DOCS / "gallery" / f"{name}.md").read_text("utf-8")
    assert f"(../images/gallery/{name}.png)" in page
    assert f"Script: [examples/gallery/{name}.py](../../examples/gallery/{name}.py)" in page.splitlines()
    assert re.search(r"<!-- output -->\n```text\n.+\n```", page, re.S)
    assert f"]({name}.md)" in (DOCS / "gallery" / "index.md").read_text("utf-8")
    path = gallery.picture_path(name)
    assert path.stat().st_size <= gallery.LARGEST
    with Image.open(path) as picture:
        # `make gallery ARGS=NAME` draws the picture of a script that was changed.
        assert picture.info[gallery.HASH] == gallery.script_hash(name)
