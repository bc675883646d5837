"""How the site is built: ``python -m sphinx -W --keep-going -n docs
docs/_build/html``.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pages import executed_notebooks, notebooks_left_out, write_pages  # noqa: E402

project = "ann2neo"
author = "The ann2neo developers"
project_copyright = author
version = release = version_of("ann2neo")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
toc_object_entries_show_parents = "hide"
templates_path = ["_templates"]
exclude_patterns = ["_build", "generated"]
# A name in single backticks is a link where there is a page of it, and an emphasised
# word (an argument) where not.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!ann2neo).*")]

autosummary_generate = True
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Notebooks that the README's line has run are shown as they came out, the others are
# executed, except where packages that they require are not installed.
nb_execution_mode = "auto"
nb_execution_excludepatterns = [
    f"notebooks/{path.name}" for path in [*executed_notebooks(), *notebooks_left_out()]
]
nb_execution_raise_on_error = True
nb_execution_timeout = 600
# TensorFlow greets every kernel on the standard error stream.
nb_output_stderr = "remove"
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = "ann2neo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars: dict[str, list[str]] = {
    page: []
    for page in (
        "index",
        "commands",
        "statistics",
        "nwb",
        "frameworks",
        "sequences",
        "study",
        "benchmarks",
    )
}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "ann2neo"},
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    """Write the pages that come from the code, before Sphinx looks for pages."""
    write_pages(Path(app.srcdir))
