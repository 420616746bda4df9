"""The documentation site: `make site` builds it, offline, into site/."""

from pygments.lexers.special import TextLexer

# Sphinx imports what is not there yet with TYPE_CHECKING set, in which pydantic's models cannot be made.
import gad_core
import gad_core.nn
import gad_core.plugin
import gad_core.runs.loading
import gad_core.testing.contract
import gad_core.testing.strategies

project = "gad"
version = release = gad_core.__version__
html_title = f"gad {version}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["images"]
html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
smartquotes = False
default_role = "code"  # docstrings write `name`
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "undoc-members": True}
python_maximum_signature_line_length = 100
copybutton_prompt_text = "$ "


def _skip(app, what, name, obj, skip, options):
    """What pydantic and enum add is no contract of ours."""
    return skip or name in {"model_config", "model_post_init"}


def setup(app):
    """Called by Sphinx."""
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-skip-member", _skip)
