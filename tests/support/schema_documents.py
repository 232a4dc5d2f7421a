"""Small schemas in the two forms in which Replicate publishes them: SDXL's, and a FLUX.2 klein's."""

import json

SDXL_NAME, KLEIN_NAME = "stability-ai/sdxl", "black-forest-labs/flux-2-klein-9b"


def _number(order, least, most, default, kind="number"):
    return {"type": kind, "minimum": least, "maximum": most, "default": default, "x-order": order}


def _named(reference, order, default):
    return {"allOf": [{"$ref": reference}], "default": default, "x-order": order}


_LINKS = {"type": "array", "items": {"type": "string", "format": "uri"}, "title": "Output"}

SDXL = {
    "openapi": "3.0.2",
    "components": {
        "schemas": {
            "Input": {
                "type": "object",
                "title": "Input",
                "properties": {
                    "seed": {"type": "integer", "x-order": 6, "nullable": True, "description": "Blank for any seed"},
                    "mask": {"type": "string", "format": "uri", "x-order": 3},
                    "image": {"type": "string", "format": "uri", "x-order": 2},
                    "width": {"type": "integer", "default": 1024, "x-order": 4},
                    "height": {"type": "integer", "default": 1024, "x-order": 5},
                    "prompt": {"type": "string", "default": "a rainbow", "x-order": 0},
                    "negative_prompt": {"type": "string", "default": "", "x-order": 1},
                    "scheduler": _named("#/components/schemas/scheduler", 8, "K_EULER"),
                    "num_outputs": _number(7, 1, 4, 1, "integer"),
                    "guidance_scale": _number(9, 1, 50, 7.5),
                    "apply_watermark": {"type": "boolean", "default": True, "x-order": 10},
                },
            },
            "Output": _LINKS,
            "scheduler": {"type": "string", "enum": ["DDIM", "K_EULER", "PNDM"], "title": "scheduler"},
        }
    },
}

KLEIN = {
    "input_schema": {
        "type": "object",
        "title": "Input",
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string", "x-order": 0},
            "images": {"type": "array", "items": {"type": "string", "format": "uri"}, "default": [], "x-order": 1},
            "aspect_ratio": _named("#/aspect_ratio", 2, "1:1"),
            "megapixels": _named("#/megapixels", 3, "1"),
            "seed": {"type": "integer", "x-order": 4, "nullable": True},
            "output_format": _named("#/output_format", 6, "jpg"),
            "output_quality": _number(7, 0, 100, 95, "integer"),
        },
    },
    "output_schema": _LINKS,
    "aspect_ratio": {"type": "string", "enum": ["1:1", "16:9", "match_input_image"]},
    "megapixels": {"type": "string", "enum": ["0.25", "1", "4"]},
    "output_format": {"type": "string", "enum": ["webp", "jpg", "png"]},
}


def write(folder):
    """Write both to files of *folder*, by the names that a folder of schemas has, and return its path."""
    folder.mkdir(exist_ok=True)
    for name, document in ((SDXL_NAME, SDXL), (KLEIN_NAME, KLEIN)):
        (folder / f"{name.replace('/', '_')}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def plain(*, defs=None, **properties):
    """Return a schema of a model with these parameters."""
    return {"input_schema": {"type": "object", "properties": properties}, **(defs or {})}
