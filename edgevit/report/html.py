"""The report as one HTML file: no script, no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from edgevit.report import absent, accuracy, curves, delegation, measured, memory, spread, sustained
from edgevit.report.page import Page
from edgevit.types import Report

if TYPE_CHECKING:
    from jinja2 import Environment

MACROS, TEMPLATE, STYLE = "macros.html.jinja", "report.html.jinja", "report.css"


def render(page: Page, report: Report) -> str:
    return fill(
        TEMPLATE,
        page=page,
        accuracy=accuracy.draw(report),
        curves=curves.draw(report),
        spread=spread.draw(report),
        sustained=sustained.draw(report),
        memory=memory.draw(report),
        no_sustained=absent.no_sustained(report),
        measured_head=measured.HEAD,
        delegation_head=delegation.HEAD,
        blocks_head=delegation.BLOCKS,
    )


def fill(name: str, **given: object) -> str:
    """The page of a template, with the style sheet of all."""
    from markupsafe import Markup

    style = _resource(STYLE)
    template = _environment().from_string(_resource(MACROS) + _resource(name))
    return template.render(style=Markup(style), policy=policy(style), **given)


def policy(style: str) -> str:
    """The content policy: this very style sheet, pictures that the page carries itself, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _environment() -> Environment:
    """Everything is escaped, and a name that the template does not know is an error in place of a blank."""
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _resource(name: str) -> str:
    return resources.files("edgevit.report").joinpath(name).read_text(encoding="utf-8")
