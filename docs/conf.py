"""How the documentation becomes a site: ``make docs``."""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import lpspec  # noqa: E402
from site_pages import write_pages  # noqa: E402

project = "lpspec"
author = "The lpspec authors"
release = version = lpspec.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["conf.py", "notebooks"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
highlight_language = "text"
smartquotes = False  # two hyphens begin an option
html_theme = "furo"
html_title = f"lpspec {lpspec.__version__}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_custom_sections = [("Options", "params_style")]


def make_pages(app: Sphinx) -> None:
    """Write the pages that are made from code before any page is read."""
    write_pages(Path(app.srcdir) / "generated")


def inline_math(writer: Any, node: nodes.math) -> None:
    """An expression as MathML, which browsers show by themselves: no script, no request."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block_math(writer: Any, node: nodes.math_block) -> None:
    """An equation of its own line."""
    writer.body.append(f'<div class="equation">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Take part in the build."""
    app.connect("builder-inited", make_pages)
    app.add_lexer("csv", TextLexer)
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
