"""A page as the text of one file: style, script, figures and data inside, and nothing asked of any host."""

import base64
import hashlib
import re
from importlib.resources import files

from lpspec.report.figures import figure_bytes
from lpspec.report.page.contents import Drawing, Page, Section
from lpspec.report.page.html import Html, data_block, joined, tag


def page_bytes(page: Page) -> bytes:
    """The file of a page.

    Its policy lets a browser run the script of this package alone, whatever a result holds, and fetch nothing.
    """
    style, script = _text("page.css"), _text("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", page.title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(style)),
    )
    links = (tag("a", section.title, href=f"#{section.name}") for section in page.sections)
    body = tag(
        "body",
        tag("header", tag("h1", page.title), tag("p", page.lead), tag("nav", *links, aria_label="Contents")),
        tag("main", *(_section(section) for section in page.sections)),
        data_block("cloud", page.cloud),
        tag("script", Html(script)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode()


def _text(name: str) -> str:
    return files("lpspec.report.page").joinpath(name).read_text("utf-8")


def _section(section: Section) -> Html:
    title = tag("h2", section.title)
    parts: list[Html] = []
    figures: list[Html] = []
    for part in section.parts:
        if isinstance(part, Drawing):
            figures.append(_figure(part))
            continue
        if figures:
            parts.append(tag("div", *figures, _class="figures"))
            figures = []
        parts.append(part)
    if figures:
        parts.append(tag("div", *figures, _class="figures"))
    return tag("section", title, joined(parts), id=section.name)


def _figure(drawing: Drawing) -> Html:
    """A figure as SVG within the page, without what only a file of its own needs."""
    text = figure_bytes(drawing.figure, ".svg", letters=True).decode()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])  # names of groups, the same in every figure
    svg = Html(text.replace("<svg", f'<svg role="img" aria-label="{drawing.name}"', 1))
    return tag("figure", svg, tag("figcaption", drawing.caption))
