"""The page itself: a frame that its script fills, in the style of a report."""

import base64
import hashlib
from importlib.resources import files

from lpspec import __version__
from lpspec.report.page.html import Html, data_block, joined, tag
from lpspec.scenario import Scenario


def page_bytes(scenario: Scenario, saves: bool) -> tuple[bytes, str]:
    """The page, and the policy that lets a browser run this script, ask this server, and nothing else.

    Args:
        scenario: What it shows first.
        saves: Whether it may write scenarios into the folder.
    """
    style = _text("lpspec.report.page", "page.css") + _text("lpspec.serve", "serve.css")
    script = _text("lpspec.serve", "serve.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "lpspec: machine, model and workload"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(style)),
    )
    first = {"scenario": scenario.to_dict(), "saves": saves, "machine": _machine(scenario)}
    script_tag = tag("script", Html(script))
    body = tag("body", *_frame(saves), data_block("first", first), script_tag, _class="serve")
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode(), policy


def _machine(scenario: Scenario) -> str:
    """The system whose constants are shown first."""
    systems = scenario.systems or ("lp-spec",)
    return "lp-spec" if "lp-spec" in systems else systems[-1]


def _frame(saves: bool) -> tuple[Html, ...]:
    keeping = [tag("button", "Download scenario", type="button", id="download")]
    if saves:
        name = tag("input", id="name", value="scenario.toml", size="18", spellcheck="false", aria_label="file name")
        keeping += [name, tag("button", "Save in the folder", type="button", id="save")]
    keeping.append(tag("button", "Back to the start", type="button", id="reset"))
    moved = tag("section", tag("h2", "What is run"), tag("div", id="controls"), _class="moved", aria_label="Controls")
    shown = tag(
        "section",
        tag("h2", "What comes of it"),
        tag("p", "starting", id="status", role="status", aria_live="polite"),
        tag("div", id="error", role="alert"),
        tag(
            "div",
            tag("table", id="table", _class="systems"),
            _class="wide",
            tabindex="0",
            role="region",
            aria_label="Figures",
        ),
        tag("ul", id="notes"),
        tag("div", *keeping, _class="bar keeping"),
        tag("p", id="kept", role="status"),
        tag("div", id="figures", _class="figures"),
        tag("details", tag("summary", "the scenario"), tag("pre", id="toml")),
        _class="shown",
        aria_label="Results",
    )
    lead = (
        "Analytic figures follow at once, memory commands a moment later. Decode steps only, per generated token. "
        "A saved scenario is run again by lpspec compare --scenario."
    )
    header = tag("header", tag("h1", "Machine, model and workload"), tag("p", lead))
    footer = tag("footer", tag("p", f"lpspec {__version__}, on this machine alone"))
    brief = tag("p", id="brief", aria_hidden="true")
    return header, tag("main", joined([shown, moved]), _class="sides"), brief, footer


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
