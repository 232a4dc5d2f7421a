"""How Sphinx builds these pages: ``make docs``. No page asks the network for anything."""

import enum
import re
from importlib import import_module

import attrs
import cometflux
from docutils import nodes
from sphinx import addnodes

project = "cometflux"
author = "The cometflux authors"
copyright = author  # noqa: A001 - Sphinx's name
release = version = cometflux.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True

html_show_search_summary = False
html_theme = "furo"
html_title = f"cometflux {release}"
html_static_path = ["_static"]
html_css_files = ["cometflux.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": [], "navigation_with_keys": True}
# What a console line is typed with is not what it is.
highlight_language = "text"

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
# A file of the checkout beside the docs is named, not copied.
myst_all_links_external = False

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
default_role = "py:obj"
add_module_names = False

nitpick_ignore_regex = [
    # The types of others are described elsewhere, and no page here asks for them.
    ("py:class", r"(?!cometflux\.).*"),
    ("py:obj", r"(asyncio|pathlib)\..*"),
    # What a caller never makes.
    ("py:class", r"cometflux\.(account\.settler\.AccountSettler|images\.formats\.ImageFile)"),
    ("py:class", r"cometflux\.(jobs\.PlannedJob|journal\.draft\.Draft|models\.output_of\.AnyJob)"),
    ("py:class", r"cometflux\.(journal\.writer\.JournalWriter|storage\.(destination\.Destination|folder\.Folder))"),
    ("py:exc", r"CancelledError"),
]

_PUBLIC = {
    f"{home.__module__}.{name}": f"cometflux.{name}"
    for name in cometflux.__all__
    if hasattr(home := getattr(cometflux, name), "__module__")
}


def _to_public_name(app, env, node, content):
    """Let a name lead to where it is described: `cometflux.jobs.Job` is documented as `cometflux.Job`."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    name = _PUBLIC.get(target) or (f"cometflux.{target}" if target.partition(".")[0] in cometflux.__all__ else None)
    if name is None:
        name = next((f"{place}.{target}" for place in _PLACES if hasattr(import_module(place), target)), None)
    if name is None or name == target:
        return None
    python = env.domains["py"]
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)


_PLACES = (
    *("cometflux.errors", "cometflux.events", "cometflux.flux", "cometflux.testing"),
    *(
        "cometflux.journal.states",
        "cometflux.journal.record",
        "cometflux.journal.attempts",
        "cometflux.journal.outcome",
        "cometflux.provenance.signing",
    ),
)


_COLON = "\x01"


def _hide_colons(app, what, name, obj, options, lines):
    """Keep napoleon from taking what stands before a colon for a type."""
    if what in ("attribute", "property", "data"):
        lines[:] = [line.replace(":", _COLON) for line in lines]


def _show_colons(app, what, name, obj, options, lines):
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _write_signature(app, what, name, obj, options, signature, returns):
    """Show what attrs makes as it is called, and what nobody makes without a signature."""
    if what != "class" or not isinstance(obj, type):
        return None
    if issubclass(obj, enum.Enum):
        return "", None
    if attrs.has(obj) and signature != "()" and all(field.kw_only for field in attrs.fields(obj)):
        return f"(*, {', '.join(map(_write_field, attrs.fields(obj)))})", None
    return None


def _write_field(field):
    if field.default is attrs.NOTHING:
        return field.name
    is_made = isinstance(field.default, attrs.Factory)
    return f"{field.name}={'...' if is_made else repr(field.default)}"


def _index_numbers(app, document):
    """Let the search find the status codes in headings: Sphinx leaves out numbers that are not index entries."""
    for section in list(document.findall(nodes.section)):
        for number in re.findall(r"\b\d{3}\b", section[0].astext()):
            entry = ("single", number, section["ids"][0], "", None)
            section.insert(1, addnodes.index(entries=[entry], inline=False))


def setup(app):
    """Add to what Sphinx does."""
    app.connect("doctree-read", _index_numbers)
    app.connect("autodoc-process-docstring", _hide_colons, priority=100)
    app.connect("autodoc-process-docstring", _show_colons, priority=900)
    app.connect("autodoc-process-signature", _write_signature)
    app.connect("missing-reference", _to_public_name)
