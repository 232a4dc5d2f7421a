"""The XMP packet of a generated image: the marks that IPTC defines for such images, and the record of how it was made.

The names are those of the IPTC Photo Metadata Standard 2025.1. The record stands in a namespace of this package, as
JSON, so that other programs keep it when they change the packet.
"""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from cometflux.protocol import encoding

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for an image that a trained model made."""
_NAMESPACE = "https://cometflux.invalid/xmp/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that XML does not allow, not even escaped."""


def write_packet(shown: Mapping[str, Any], prompt_writer: str | None = None) -> bytes:
    """Write the packet of an image. *shown* is its record in the form that may be shared."""
    prompt = shown["input"].get("prompt")
    iptc = {
        "DigitalSourceType": GENERATED,
        "AISystemUsed": shown["model"],
        "AISystemVersionUsed": shown["prediction"].get("version"),
        "AIPromptInformation": prompt if prompt is None or isinstance(prompt, str) else encoding.dump_line(prompt),
        "AIPromptWriterName": prompt_writer,
    }
    marks = "".join(_element(f"iptc:{name}", value) for name, value in iptc.items() if isinstance(value, str) and value)
    # In JSON these characters occur only within strings, where they have an escaped form.
    record = _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", encoding.dump_line(shown))
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f'<rdf:Description rdf:about="" xmlns:iptc="{_IPTC}" xmlns:cometflux="{_NAMESPACE}">\n'
        f"{marks}{_element('cometflux:Record', record)}"
        '</rdf:Description>\n</rdf:RDF></x:xmpmeta>\n<?xpacket end="r"?>'
    ).encode()


def _element(name: str, text: str) -> str:
    body = escape(_FORBIDDEN.sub("\ufffd", text), {"\r": "&#13;"})
    return f"<{name}>{body}</{name}>\n"


def find_record(packet: bytes) -> str | None:
    """Find the record's JSON in a packet, even after another program has written the packet anew; None without one."""
    if _NAMESPACE.encode() not in packet or b"<!DOCTYPE" in packet:
        return None
    name = f"{{{_NAMESPACE}}}Record"
    try:
        for element in ElementTree.fromstring(packet.strip(b"\0")).iter():  # noqa: S314 - no document type, bounded
            if element.tag == name:
                return element.text
            if name in element.attrib:
                return element.attrib[name]
    except (ElementTree.ParseError, ValueError, LookupError):
        # The last one is an encoding that nobody knows.
        return None
    return None


def is_marked(packet: bytes) -> bool:
    """Whether a packet says that the image is generated."""
    return b"trainedAlgorithmicMedia" in packet
