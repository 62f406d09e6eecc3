"""How the site is built: ``make docs``, or sphinx-build -W -n docs docs/_build/html."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from fieldcast._version import __version__

project = "fieldcast"
author = "The fieldcast authors"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "written", "formulas"]
exclude_patterns = ["_build", "extensions"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "fieldcast"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "svg"
html_theme_options = {"navigation_with_keys": False}
pygments_style = "tango"

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shapes", "notes_style")]

# Names of other libraries are no links.
nitpick_ignore_regex = [(r"py:.*", r"(?!fieldcast\.).*")]
