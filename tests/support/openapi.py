"""The vendor's specification of the routes, its errors, and a corrected copy.

The file is outside of this repository, next to the published parameters of the models. Tests that need missing files
are skipped.
"""

import copy
import json
from pathlib import Path

import yaml

API = Path(__file__).parents[3] / "shared" / "api"
CREATE = "/replicate/v1/models/{models}/predictions"
QUERY = "/replicate/v1/predictions/{id}"


def missing():
    """Return the name of a missing file, or None."""
    return next((path.name for path in (_DOCUMENT, _MODELS) if not path.exists()), None)


def load():
    """Read the specification as it is."""
    return yaml.safe_load(_DOCUMENT.read_text(encoding="utf-8"))


def load_models():
    """Read the published parameters and outputs, by model."""
    return json.loads(_MODELS.read_text(encoding="utf-8"))["models"]


_DOCUMENT = API / "openapi.yaml"
_MODELS = API / "flux_models.json"


# ── its errors ───────────────────────────────────────────────────────────────────────────────────────────────────────


def models_in(document):
    """List the models allowed in the path."""
    return _create(document)["parameters"][0]["schema"]["enum"]


def required_inputs(document):
    return _input(document)["required"]


def answer(document):
    """Return the schema of the response to a submission."""
    return _answered(document)["schema"]


def examples(document):
    """List the specification's example responses to a submission."""
    return [each["value"] for each in _answered(document)["examples"].values()]


def statuses(document):
    """List the statuses of the responses to a submission."""
    return sorted(_create(document)["responses"])


def _create(document):
    return document["paths"][CREATE]["post"]


def _input(document):
    return _create(document)["requestBody"]["content"]["application/json"]["schema"]["properties"]["input"]


def _answered(document):
    return _create(document)["responses"]["200"]["content"]["application/json"]


# ── corrections ──────────────────────────────────────────────────────────────────────────────────────────────────────

PROBLEM = {
    "type": "object",
    "required": ["detail", "status"],
    "properties": {"title": {"type": "string"}, "detail": {"type": "string"}, "status": {"type": "integer"}},
}

# The operations after a submission.
_NEXT = {"links": {"question": {"operationId": "replicate_query", "parameters": {"id": "$response.body#/id"}}}}


def correct(document):
    """Return the specification with its errors corrected and its gaps filled.

    A path parameter cannot contain a slash, so every model gets its own path. So each can have its own parameters,
    which the vendor's page takes from Replicate.
    """
    created = answer(document)
    published = load_models()
    paths = {CREATE.format(models=name): {"post": _submission(created, name, published[name])} for name in published}
    return {
        "openapi": document["openapi"],
        "info": document["info"],
        "paths": paths | {QUERY: {"get": _question(created)}},
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def _submission(created, name, model):
    schema = copy.deepcopy(created)
    schema["properties"]["output"] = _nullable(model["output"])
    schema["properties"]["error"] = _nullable({"type": "string"})
    content = {"application/json": {"schema": schema}}
    body = {
        "type": "object",
        "required": ["input"],
        "properties": {"input": _input_schema(model)},
        # Unknown keys here are refused; unknown keys of the input are dropped.
        "additionalProperties": False,
    }
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        # The page says 200, but Replicate returns 201.
        "responses": {status: {"description": "accepted", "content": content} | _NEXT for status in ("200", "201")}
        | _refusals("400", "401", "422"),
    }


def _input_schema(model):
    """Describe the input by the published parameters. Only the prompt is required."""
    parameters = {each["name"]: _parameter(each) for each in model["parameters"]}
    required = [each["name"] for each in model["parameters"] if each["required"]]
    return {"type": "object", "required": required, "properties": parameters}


def _parameter(given):
    if given["type"] == "array[string]":
        return {"type": "array", "items": {"type": "string"}}
    limits = {"enum": given["enum"], "minimum": given["min"], "maximum": given["max"]}
    return {"type": given["type"], **{name: limit for name, limit in limits.items() if limit is not None}}


def _question(created):
    """Describe the GET of a prediction, which the vendor's page has but the file does not."""
    schema = copy.deepcopy(created)
    schema["required"] = ["id", "input", "model", "output", "status", "created_at"]
    # It is removed with the data.
    del schema["properties"]["input"]["required"]
    several = {"type": "array", "items": {"type": "string"}}
    numbers = {"image_count": {"type": "integer"}, "predict_time": {"type": "number"}}
    schema["properties"] |= {
        "output": {"anyOf": [{"type": "string", "nullable": True}, several]},
        "error": _nullable({"type": "string"}),
        "started_at": {"type": "string", "format": "date-time"},
        "completed_at": {"type": "string", "format": "date-time"},
        "metrics": {"type": "object", "properties": numbers},
    }
    found = {"description": "the prediction", "content": {"application/json": {"schema": schema}}}
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "operationId": "replicate_query",
        "parameters": [name],
        "responses": {"200": found} | _refusals("401", "404"),
    }


def _nullable(schema):
    kept = {name: value for name, value in schema.items() if name in ("type", "items")}
    return {**kept, "nullable": True}


def _refusals(*statuses):
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {status: {"description": "refused", "content": content} for status in statuses}
