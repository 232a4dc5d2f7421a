"""Make the prompts of a table with a template. The columns that it uses do not have to be parameters."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from cometflux.models.spelling import is_blank
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.rows import Row, Source
from cometflux.sources.templates.braces import Template, TemplateError, missing


@attrs.frozen(kw_only=True)
class Prompting:
    """The source of a table's prompts: a template, or the column ``prompt``."""

    template: str | None = None
    """The text of the template, with plain names in braces. None if the table has its own prompts."""
    template_label: str = "template"

    @property
    def is_given(self) -> bool:
        """Whether there is a template."""
        return self.template is not None

    def apply(self, source: Source) -> Source:
        """Fill the template for each row and return the rows with their prompts.

        Raises:
            SourceError: the template has a mistake, or rows lack values that it uses; all such rows are listed.
        """
        if self.template is None:
            return source
        try:
            return _apply(source, self.template)
        except TemplateError as error:
            label = self.template_label
            where = label if error.line == 1 else f"{label}, line {error.line}"
            raise SourceError(f"{where}: {error}") from error


def _apply(source: Source, text: str) -> Source:
    template = Template.parse(text)
    absent = [name for name in template.names if source.columns and name not in source.columns]
    if absent:
        faults = [Fault(missing(name, source.columns), source.header) for name in absent]
        raise SourceError(faults, source.name, source.unit)
    return _with_prompts(source, frozenset(template.names), (_fill(template, row, source) for row in source.rows))


def _fill(template: Template, row: Row, source: Source) -> str | TemplateError:
    empty = [name for name in template.names if name in source.columns and name not in row.values]
    if empty:
        return TemplateError(f"the template uses {{{empty[0]}}}, which is empty here")
    try:
        return template.fill(row.values)
    except TemplateError as error:
        return error


def _with_prompts(source: Source, names: frozenset[str], prompts: Iterator[str | TemplateError]) -> Source:
    faults: list[Fault] = []
    rows = []
    for row, prompt in zip(source.rows, prompts, strict=True):
        if isinstance(prompt, TemplateError):
            faults.append(Fault(str(prompt), row.line))
        elif is_blank(prompt):
            faults.append(Fault("the template makes an empty prompt for it", row.line))
        else:
            rows.append(attrs.evolve(row, values=_prompted(row.values, prompt)))
    if faults:
        raise SourceError(faults, source.name, source.unit)
    return attrs.evolve(source, rows=tuple(rows), used=source.used | names)


def _prompted(values: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    return {**values, "prompt": prompt}
