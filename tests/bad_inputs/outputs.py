"""Where an output may be said to be, and what may come from there."""

import base64
import gzip
import io
import json

import attrs
from PIL import Image
from socket_server import http

KEY = "sk-canary-0123456789"


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, kind)
    return file.getvalue()


PNG = picture("PNG")
HERE = "{here}/out.png"


@attrs.frozen
class Output:
    """One output that is bought; where it cannot be saved, it stays paid for and known."""

    id: str
    output: object = HERE
    """What the prediction says; ``{here}`` stands for the service's own address."""
    raw: bytes = b""
    """What is sent for it."""
    says: str = ""
    """A part of the error's words; nothing where it is saved all the same."""
    files: tuple[str, ...] = ()


def unsaved(name, raw, says):
    return Output(name, HERE, raw, says)


def saved(name, raw, ending="png"):
    return Output(name, HERE, raw, files=(f"00000-a-boat.{ending}",))


def nowhere(name, output, says="only https URLs are fetched"):
    return Output(name, output, b"", says)


def moved(name, target, says):
    return unsaved(f"a redirect {name}", http(302, b"", f"Location: {target}"), says)


def data_uri(data, head="data:image/png;base64,"):
    return head + base64.b64encode(data).decode()


NO_IMAGE = {
    "a web page": b"<!doctype html><title>Sign in</title>",
    "an error in JSON": json.dumps({"error": "expired"}).encode(),
    "an error in XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "a drawing in text": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a PDF": b"%PDF-1.7\n",
    "a bitmap of another kind": picture("BMP"),
    "a compressed image": gzip.compress(PNG),
    "an image behind a line break": b"\n" + PNG,
    "zeros": b"\0" * 1000,
    "nothing": b"",
}
CUT = {
    "the first half": PNG[: len(PNG) // 2],
    "all but the last byte": PNG[:-1],
    "the first bytes only": PNG[:8],
    "half a JPEG": picture("JPEG")[:-100],
    "half a WebP": picture("WEBP")[:-10],
    "half a GIF": picture("GIF")[:-2],
}

OUTPUTS = [
    *(unsaved(f"no image: {name}", http(200, data), "the output is not an image") for name, data in NO_IMAGE.items()),
    *(unsaved(f"cut: {name}", http(200, data), "the output is cut short") for name, data in CUT.items()),
    unsaved("an image that stops half-way", http(200, PNG[:40], length=len(PNG)), "too slow: 40 bytes in 60 s"),
    unsaved("an image longer than it says", http(200, PNG, length=40), "the response is not HTTP"),
    unsaved("a length of a terabyte", http(200, PNG, length=10**12), "too slow: 77 bytes in 60 s"),
    unsaved("more than is read at most", http(200, PNG + b"\0" * 200_000), "is larger than 100000 bytes"),
    unsaved("an image compressed in a way of its own", http(200, PNG, "Content-Encoding: x"), "came compressed (x)"),
    unsaved("no content", http(204, b""), "HTTP 204"),
    unsaved("a part", http(206, PNG, "Content-Range: bytes 0-9/10"), "HTTP 206"),
    unsaved("not changed", http(304, b""), "HTTP 304"),
    *(unsaved(f"HTTP {status}", http(status), f"HTTP {status}") for status in (400, 401, 403, 404, 410, 429, 500, 503)),
    unsaved("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n", "could not be fetched"),
    saved("an image that says it is a page", http(200, PNG, "Content-Type: text/html")),
    saved("an image without a type", http(200, PNG)),
    saved("a JPEG at the address of a PNG", http(200, picture("JPEG"), "Content-Type: image/png"), "jpg"),
    saved("an image with more behind its end", http(200, PNG + b"\n\n")),
    # Redirects.
    moved("to a private address", "https://10.0.0.1/a.png", "is not a public address"),
    moved("to the metadata of a cloud", "http://169.254.169.254/latest", "only https URLs are fetched"),
    moved("to a file", "file:///etc/passwd", "only https URLs are fetched"),
    moved("to a data URI", data_uri(PNG), "only https URLs are fetched"),
    moved("with a password", "https://a:b@example.com/a.png", "carries a user name or password"),
    moved("to a plain address on the net", "http://example.com/a.png", "only https URLs are fetched"),
    moved("to itself", "/out.png", "is redirected more than 3 times"),
    moved("to half an address", "https://[::1", "could not be fetched"),
    unsaved("a redirect to nowhere", http(302, b""), "HTTP 302"),
    # Addresses.
    nowhere("a path", "/out.png"),
    nowhere("a name", "out-0.png"),
    nowhere("the word null", "null"),
    nowhere("http on the net", "http://example.com/a.png"),
    nowhere("ftp", "ftp://example.com/a.png"),
    nowhere("a file", "file:///etc/passwd"),
    nowhere("no scheme", "//example.com/a.png"),
    nowhere("no host", "https:///a.png"),
    nowhere("one slash", "https:/example.com/a.png"),
    nowhere("a script", "javascript:alert(1)"),
    nowhere("a socket", "wss://example.com/a.png"),
    nowhere("half an IPv6 address", "https://[::1/a.png", "which is not a URL"),
    nowhere("a port that is none", "https://example.com:99999/a.png", "which is not a URL"),
    nowhere("a port in words", "https://example.com:https/a.png", "which is not a URL"),
    nowhere("a password", "https://a:b@example.com/a.png", "carries a user name or password"),
    nowhere("an empty user", "https://@example.com@127.0.0.1/a.png", "carries a user name or password"),
    nowhere("a private address", "https://192.168.0.1/a.png", "is not a public address"),
    nowhere("a private IPv6 address", "https://[fd00::1]/a.png", "is not a public address"),
    nowhere("an IPv4 address within an IPv6 one", "https://[::ffff:10.0.0.1]/a.png", "is not a public address"),
    nowhere("a decimal address", "https://167772161/a.png", "is not a public address"),
    nowhere("an octal address", "https://012.0.0.1/a.png", "is not a public address"),
    nowhere("a hexadecimal address", "https://0x0a.1/a.png", "is not a public address"),
    nowhere("a short address", "https://10.1/a.png", "is not a public address"),
    nowhere("a name of one word", "https://intranet/a.png", "is not a public address"),
    nowhere("a name in another script", "https://b\u00fccher.example/a.png", "is not a public address"),
    nowhere("a name with a NUL", "https://example.com\0.evil/a.png", "is not a public address"),
    nowhere("a name with a backslash", "https://example.com\\@127.0.0.1/a.png", "which is not a URL"),
    nowhere("a name that is escaped", "https://%31%30.0.0.1/a.png", "is not a public address"),
    nowhere("a name that does not end", f"https://{'a' * 300}.example/a.png", "is not a public address"),
    # Images that are their own address.
    nowhere("a data URI with broken base64", "data:image/png;base64,%%%", "cannot be read"),
    nowhere("a data URI cut in its base64", data_uri(PNG)[:-3], "cannot be read"),
    nowhere("a data URI cut between groups", data_uri(PNG[:-3]), "the output is cut short"),
    nowhere("a data URI of nothing", "data:image/png;base64,", "the output is not an image"),
    nowhere("a data URI of a text", "data:text/plain,hello", "the output is not an image"),
    nowhere("a data URI without its comma", "data:image/png;base64", "cannot be read"),
    nowhere("a data URI of more than is read", data_uri(PNG + b"\0" * 200_000), "is larger than 100000 bytes"),
    Output("a data URI in capitals", data_uri(PNG, "DATA:IMAGE/PNG;BASE64,"), files=("00000-a-boat.png",)),
    Output("a data URI that names another type", data_uri(PNG, "data:image/jpeg;base64,"), files=("00000-a-boat.png",)),
    # Addresses that must be escaped.
    Output("a blank in the URL", "{here}/out 0.png", http(200, PNG), files=("00000-a-boat.png",)),
    Output("letters of another script in the URL", "{here}/\u732b.png", http(200, PNG), files=("00000-a-boat.png",)),
    Output("a line break in the URL", "{here}/a\r\nX-Evil: 1.png", http(200, PNG), files=("00000-a-boat.png",)),
    Output("blanks around the URL", " {here}/out.png\n", http(200, PNG), files=("00000-a-boat.png",)),
    # Several.
    Output(
        "one of two is gone",
        [HERE, "file:///etc/passwd"],
        http(200, PNG),
        "only https URLs are fetched",
        ("00000-a-boat-1.png",),
    ),
    Output("the same twice", [HERE, HERE], http(200, PNG), files=("00000-a-boat-1.png", "00000-a-boat-2.png")),
]
