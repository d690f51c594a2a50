"""Pages and slides made with the course's own templates keep the alt text of every figure."""

import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbconvert import HTMLExporter, SlidesExporter

from lessons.heads import ROOT, sources

TEMPLATES = ROOT / "tools" / "templates"
KINDS = ("image/png", "image/jpeg")
EXPORTERS = {"html": (HTMLExporter, "course"), "slides": (SlidesExporter, "course_slides")}
PIXEL = "iVBORw0KGgo="  # never looked at


class Images(HTMLParser):
    """The alt texts of the figures of a page, in order."""

    def __init__(self, page: str):
        super().__init__()
        self.alts: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "img" and (found.get("src") or "").startswith("data:image/"):
            assert [name for name, _ in attrs].count("alt") <= 1
            self.alts.append(found.get("alt"))


def alts(nb: nbformat.NotebookNode, kind: str) -> list[str | None]:
    exporter, template = EXPORTERS[kind]
    made = exporter(template_name=template, extra_template_basedirs=[str(TEMPLATES)])
    return Images(made.from_notebook_node(nb)[0]).alts


def figure(kind: str, alt: str | None) -> nbformat.NotebookNode:
    metadata = {} if alt is None else {kind: {"alt": alt}}
    output = nbformat.v4.new_output("display_data", {kind: PIXEL}, metadata=metadata)
    return nbformat.v4.new_code_cell("draw()", outputs=[output], execution_count=1)


@pytest.mark.parametrize("kind", EXPORTERS)
@pytest.mark.parametrize("source", sources()[:2], ids=lambda source: source.stem)
def test_every_figure_of_a_lesson_keeps_its_alt_text(source, kind):
    nb = nbformat.read(ROOT / "notebooks" / f"{source.stem}.ipynb", as_version=4)
    expected = [
        output.metadata[mime]["alt"]
        for cell in nb.cells
        for output in cell.get("outputs", [])
        for mime in KINDS
        if mime in output.get("data", {})
    ]
    assert expected
    assert alts(nb, kind) == expected


@pytest.mark.parametrize("kind", EXPORTERS)
def test_any_text_is_an_alt_text(kind):
    texts = ['two "cups" & <img src=x> in the kitchen', "两只杯子", "x > 0"]
    nb = nbformat.v4.new_notebook(
        cells=[figure(mime, text) for mime in KINDS for text in texts] + [figure(KINDS[0], None)]
    )
    *found, last = alts(nb, kind)
    assert found == [*texts, *texts]
    assert last.startswith("No description")  # nbconvert's word where there is none


def test_the_command_for_authors_names_these_templates():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"nbconvert --to (\w+) --template (\w+)", text)
    assert dict(named) == {kind: template for kind, (_, template) in EXPORTERS.items()}
    assert "extra_template_basedirs=tools/templates" in text
