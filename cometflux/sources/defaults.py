"""The values that apply to every row of a source that does not set its own."""

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.models.schemas import ModelSchema
from cometflux.sources import validation
from cometflux.sources.validation import Model


@attrs.frozen(kw_only=True)
class Constant:
    """The value of a parameter for every row that does not set it."""

    label: str
    """Its name in messages."""
    value: Any
    is_text: bool = False
    """Whether the value is text for the parameter's type to convert. Its paths are relative to the current folder."""
    is_body: bool = False
    """Whether the value is a part of a request body, so that its parameter may be unknown to the model."""

    def read(self, name: str) -> Callable[[Model], Any]:
        """Return a function that reads the value of *name* as a model takes it."""
        if not self.is_text:
            return lambda _: self.value
        return lambda model: validation.read_text(model, name, self.value, Path())


@attrs.frozen(kw_only=True)
class Defaults:
    """The values that apply to every row that does not set its own."""

    model: str = "flux-schnell"
    model_label: str = "model"
    constants: Mapping[str, Constant] = {}
    count: int = 1
    """How many copies of each job are made."""
    count_label: str = "count"
    strict: bool = False
    """Whether a request body with a parameter that the model does not have is a mistake."""
    validate: bool = True
    """Whether to check the inputs of known models."""
    reference: str = "reference"
    """The column whose image each model takes as its own reference image."""
    keep_label: Callable[[str], str] = 'keep=["{}"]'.format
    """Returns how a column of this name is carried along."""
    known_keys: Container[str] = ()
    """The keys of jobs elsewhere whose output a row may take."""
    schemas: Mapping[str, ModelSchema] = {}
    """The schemas of models, by full name. They also replace the classes of models of these names."""
