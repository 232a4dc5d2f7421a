"""Make the prompts of a table with a template. The columns that it uses do not have to be parameters."""

import attrs

from cometflux.models.spelling import is_blank
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.rows import Entry, Row, Source
from cometflux.sources.templates.braces import Template, TemplateError, missing


@attrs.frozen(kw_only=True)
class Prompting:
    """The source of a table's prompts: a template, or the column ``prompt``."""

    template: str | None = None
    """The text of the template, with plain names in braces. None if the table has its own prompts."""
    template_label: str = "template"
    has_wildcards: bool = False
    """Whether braces other than those of names stay in the prompts, because wildcards are expanded afterwards."""

    @property
    def is_given(self) -> bool:
        """Whether there is a template."""
        return self.template is not None

    def apply(self, source: Source) -> Source:
        """Return the source with prompts that the template makes; a row that lacks a value for it becomes a fault.

        Raises:
            SourceError: the template has a mistake, or uses a column that is not there.
        """
        if self.template is None:
            return source
        try:
            return _apply(source, Template.parse(self.template, has_wildcards=self.has_wildcards))
        except TemplateError as error:
            label = self.template_label
            where = label if error.line == 1 else f"{label}, line {error.line}"
            raise SourceError(f"{where}: {error}") from error


def _apply(source: Source, template: Template) -> Source:
    absent = [name for name in template.names if source.columns and name not in source.columns]
    if absent:
        faults = [Fault(missing(name, source.columns), source.header) for name in absent]
        raise SourceError(faults, source.name, source.unit)
    rows = (_prompted(template, each, source) if isinstance(each, Row) else each for each in source.rows)
    return attrs.evolve(source, rows=rows, used=source.used | frozenset(template.names))


def _prompted(template: Template, row: Row, source: Source) -> Entry:
    prompt = _fill(template, row, source)
    if isinstance(prompt, TemplateError):
        return Fault(str(prompt), row.line)
    if is_blank(prompt):
        return Fault("the template makes an empty prompt for it", row.line)
    return attrs.evolve(row, values={**row.values, "prompt": prompt})


def _fill(template: Template, row: Row, source: Source) -> str | TemplateError:
    empty = [name for name in template.names if name in source.columns and name not in row.values]
    if empty:
        return TemplateError(f"the template uses {{{empty[0]}}}, which is empty here")
    try:
        return template.fill(row.values)
    except TemplateError as error:
        return error
