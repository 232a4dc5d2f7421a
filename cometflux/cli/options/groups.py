"""The groups of options on a page of help."""

from cyclopts import Group

from cometflux.cli.options import help_format

OPTIONS = Group("Options", sort_key=1)
FURTHER = Group("Further options", sort_key=2, help_formatter=help_format.Briefly(""))
_EACH_TAKES = "Each model takes some of these: `cometflux models MODEL` lists which."
MODEL_PARAMETERS = Group(
    "Model parameters", help=_EACH_TAKES, sort_key=3, help_formatter=help_format.Briefly(_EACH_TAKES)
)
