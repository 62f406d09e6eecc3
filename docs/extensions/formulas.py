"""Formulas as inline SVG, drawn by matplotlib: no script, no font, nothing loaded from elsewhere."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import matplotlib
from docutils import nodes
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from sphinx.application import Sphinx
from sphinx.util import logging

_logger = logging.getLogger(__name__)
_SIZE = 100.0  # points at which a formula is drawn, since its box is rounded to whole ones; on the page that is one em


def drawn(formula: str, display: bool = False) -> str:
    """A formula as an SVG element whose height and depth below the line are in em; display has whole fractions."""
    formula = " ".join(formula.split())
    if display:
        formula = formula.replace(r"\frac", r"\dfrac")
    target = io.BytesIO()
    with matplotlib.rc_context({"mathtext.fontset": "stix", "svg.fonttype": "path", "svg.hashsalt": "formula"}):
        depth = math_to_image(f"${formula}$", target, prop=FontProperties(size=_SIZE), dpi=72, format="svg")
    svg = target.getvalue().decode()
    width, height = (float(re.findall(rf'\b{side}="([\d.]+)pt"', svg)[0]) for side in ("width", "height"))
    body = svg[svg.index("</metadata>") + 11 : svg.rindex("</svg>")]
    # The white ground goes, and the rules for the whole page; ids of glyphs stay, being the same path in every formula.
    for part in (r"<style.*?</style>", r"<!--.*?-->", r'<g id="patch_1">.*?</g>', r' id="\w+_1"', r"<defs>\s*</defs>"):
        body = re.sub(part, "", body, flags=re.DOTALL)
    label = html.escape(formula, quote=True)
    return (
        f'<svg class="formula" role="img" aria-label="{label}" viewBox="0 0 {width:.2f} {height:.2f}" '
        f'style="width:{width / _SIZE:.3f}em;height:{height / _SIZE:.3f}em;vertical-align:{-depth / _SIZE:.3f}em">'
        f"{' '.join(body.split())}</svg>"
    )


def _on_the_page(node: nodes.Element, display: bool) -> str:
    try:
        return drawn(node.astext(), display)
    except ValueError as error:
        _logger.warning("the formula '%s' cannot be drawn (%s)", node.astext(), error, location=node)
        return ""


def _inline(self: Any, node: nodes.Element) -> None:
    self.body.append(_on_the_page(node, display=False))
    raise nodes.SkipNode


def _display(self: Any, node: nodes.Element) -> None:
    self.body.append(f'<div class="formula">{_on_the_page(node, display=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("svg", (_inline, None), (_display, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
