"""How an image in an input is recorded, and how its job is known."""

import base64
import hashlib
import urllib.parse

import pytest

from cometflux.images.summaries import describe_input, summarize_input
from cometflux.jobs import Job
from cometflux.predictions import Prediction, Status
from cometflux.protocol import encoding
from cometflux.provenance.portable import portable_input
from cometflux.provenance.sidecar import record_of


def spellings(data):
    encoded = base64.b64encode(data).decode()
    lines = "\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))
    return [
        f"data:image/gif;base64,{encoded}",
        f"DATA:image/gif;base64,{encoded}",
        f"data:image/gif;name=a.gif;BASE64,{encoded}",
        f"data:image/gif;base64,{lines}",
        f"Data:image/gif,{urllib.parse.quote_from_bytes(data)}",
    ]


SUCCEEDED = Prediction(id="p", status=Status.SUCCEEDED)
GIF = b"GIF89a" + bytes(range(250))
DESCRIBED = {"type": "image/gif", "bytes": 256, "sha256": hashlib.sha256(GIF).hexdigest()}


@pytest.mark.parametrize("uri", spellings(GIF), ids=["usual", "capitals", "a name", "lines", "percent signs"])
def test_a_record_has_the_digest_of_an_image_in_a_data_uri_of_any_spelling(uri):
    assert {"a": {"b": [DESCRIBED]}} == summarize_input({"a": {"b": [uri]}})
    assert {"image": DESCRIBED} == portable_input({"image": uri})
    assert {"image": DESCRIBED} == record_of(SUCCEEDED, Job(model="o/m", input={"image": uri}), None, None)["input"]


@pytest.mark.parametrize(
    "text", ["data: a chart, in blue", "data:", "DATA, as rain", "data:image/gif;base64,=", "date:x"]
)
def test_a_text_that_only_begins_as_a_data_uri_is_recorded_as_it_is(text):
    assert {"prompt": text} == summarize_input({"prompt": text})


def test_the_spelling_of_a_data_uri_names_a_job_as_before():
    """A batch that is run again must not buy its pictures again."""
    marks = [encoding.fingerprint("o/m", describe_input({"image": uri}))[:12] for uri in spellings(GIF)]
    assert ["ad86b6296a54", "4381a3c0040f", "e94c25dc2bc9", "ba9bc91b9e38", "61d155bad6fa"] == marks
