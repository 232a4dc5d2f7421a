"""What may be given to the command: prompt files, images, folders. Nothing is sent for any of them."""

import gzip
import os
from pathlib import Path

import attrs
from one_pixel import PNG

ROW = "prompt\na boat\n"


@attrs.frozen
class Command:
    """One call of the command in an empty folder, and the error that it prints."""

    id: str
    arguments: tuple[str, ...]
    says: str
    code: int = 2
    make: object = None
    """A function that puts something into the current folder; None where it stays empty."""


def prompts(name, data, says, file="a.csv"):
    data = data if isinstance(data, bytes) else data.encode()
    make = lambda: Path(file).write_bytes(data)  # noqa: E731 - it keeps the data
    return Command(f"{file[2:]}: {name}", ("batch", file), f"{file}{says}", make=make)


def table(name, data, options, says):
    """A table that is fine but for the options."""
    options = tuple(options.split("|"))
    return Command(f"options: {name}", ("batch", "a.csv", *options), says, make=lambda: Path("a.csv").write_text(data))


def lines(name, data, says):
    return prompts(name, data, says, "a.jsonl")


def image(name, given, says, make=None):
    return Command(
        f"image: {name}", ("generate", "a boat", "--model", "dev", "--image", given), f"--image: {says}", 2, make
    )


def out(name, given, says, make=None, code=3):
    return Command(f"out: {name}", ("generate", "a boat", "--out", given), says, code, make)


def called(name, line, says, code=2):
    return Command(name, tuple(line.split("|")), says, code)


def _link(target):
    return lambda: Path("place").symlink_to(target)


LINK_OR_FILE = "must be the path of a file, an http(s) URL or a data URI"
WHOLE = "must be a whole number that fits in 64 bits"
NO_UTF_8 = "is not UTF-8; save the file as UTF-8"

COMMANDS = [
    # Tables.
    prompts("UTF-16", ROW.encode("utf-16"), ": it is UTF-16; save it as UTF-8"),
    prompts("UTF-16 without its mark", ROW.encode("utf-16-le"), ", line 1: it contains a NUL byte"),
    prompts("UTF-32", ROW.encode("utf-32"), ": it is UTF-32; save it as UTF-8"),
    prompts("another encoding", "prompt\ncaf\u00e9\n".encode("latin-1"), f", line 2: byte 0xe9 {NO_UTF_8}"),
    prompts(
        "a spreadsheet", b"PK\x03\x04\x14\0\x06\0" * 9, ": it is a spreadsheet or a ZIP archive; save the table as CSV"
    ),
    prompts("compressed", gzip.compress(ROW.encode()), ": it is compressed with gzip; unpack it first"),
    prompts("an image", PNG, f", line 1: byte 0x89 {NO_UTF_8}"),
    prompts("a mark and nothing else", b"\xef\xbb\xbf", ": it is empty; give one prompt per row"),
    prompts("blank lines", "\n\n  \n", ": it is empty; give one prompt per row"),
    prompts("a header and nothing else", "prompt,seed\n", ": it holds no prompt; give one per row"),
    prompts("no header", "a red fox,5\n", ", line 1: no column is named 'prompt'; the first row names the columns"),
    prompts("a header in capitals", "Prompt\na boat\n", ", line 1: no column is named 'prompt'; rename 'Prompt'"),
    prompts("a short row between semicolons", "prompt;seed\na;1\nb\n", ", line 3: the row has 1 cell and the header 2"),
    prompts("JSON", '{"prompt": "a"}\n', ", line 1: no column is named 'prompt'"),
    prompts("a short row", "prompt,seed\na,1\nb\n", ", line 3: the row has 1 cell and the header 2"),
    prompts("a long row", "prompt,seed\na,b,1\n", ", line 2: the row has 3 cells and the header 2; put a cell"),
    prompts("an open quote", 'prompt\na\n"b\nc\n', ", line 3: a quote is never closed"),
    prompts("text behind a quote", 'prompt\n"a" b\n', ", line 2: text follows a closing quote"),
    prompts("a column twice", "prompt,seed,seed\na,1,2\n", ", line 1: column 'seed' appears twice, as number 2 and 3"),
    prompts("prompts twice", "prompt,prompt\na,b\n", ", line 1: column 'prompt' appears twice"),
    prompts("a column without a name", "prompt,,seed\na,b,1\n", ", line 1: column 2 has no name"),
    prompts(
        "a column of another model", "prompt,width\na,512\n", ", line 1: no row can use the column 'width'; it is a"
    ),
    prompts("a row without a prompt", "prompt,seed\n,5\n", ", line 2: the row has no prompt"),
    prompts("an unknown model", "prompt,model\na,flux-3\n", ", line 2: model: 'flux-3' was given; did you mean"),
    prompts("a seed with a fraction", "prompt,seed\na,1.5\n", f", line 2: seed: '1.5' was given; {WHOLE}"),
    prompts("a seed as a power", "prompt,seed\na,1e-5\n", f", line 2: seed: '1e-5' was given; {WHOLE}"),
    prompts("a seed as a formula", "prompt,seed\na,=A1\n", f", line 2: seed: '=A1' was given; {WHOLE}"),
    prompts("a seed in another script", "prompt,seed\na,\u0663\n", f", line 2: seed: '\u0663' was given; {WHOLE}"),
    prompts("a ratio as a time", "prompt,aspect_ratio\na,16:09:00\n", ", line 2: aspect_ratio: '16:09:00' was given"),
    prompts("a word for a boolean", "prompt,go_fast\na,ja\n", ", line 2: go_fast: 'ja' was given; must be true or"),
    prompts("a key twice", "prompt,key\na,k\nb,k\n", ", line 3: key: 'k' was given; line 2 has this key already"),
    prompts(
        "an image that is missing", "prompt,model,image\na,dev,x.png\n", ", line 2: image: 'x.png' was given; the file"
    ),
    prompts(
        "an image by ftp",
        "prompt,model,image\na,dev,ftp://x/y.png\n",
        f", line 2: image: 'ftp://x/y.png' was given; {LINK_OR_FILE}",
    ),
    prompts(
        "a data URI that is broken",
        'prompt,model,image\na,dev,"data:image/png;base64,%%%"\n',
        ", line 2: image: 'data:",
    ),
    prompts(
        "half a list of images",
        "prompt,model,input_images\na,2-pro,[a.png\n",
        ", line 2: input_images: '[a.png' was given",
    ),
    prompts(
        "a custom ratio without sides",
        "prompt,model,aspect_ratio\na,pro,custom\n",
        ", line 2: width: nothing was given",
    ),
    prompts(
        "commas in a table of tabs", "prompt,seed\na,1\n", ", line 1: no column is named 'prompt'; it seems", "a.tsv"
    ),
    prompts("invisible characters and nothing else", "\u200b\n\u200f\n", ": it holds no prompt", "a.txt"),
    prompts("a NUL", "a\nb\0c\n", ", line 2: it contains a NUL byte", "a.txt"),
    # JSON lines.
    lines("one list", '["a"]\n', ", line 1: it is one JSON list"),
    lines("a string", '"a"\n', ', line 1: expected an object, as in {"prompt": "a fox"}, not a string'),
    lines("null", "null\n", ', line 1: expected an object, as in {"prompt": "a fox"}, not null'),
    lines(
        "a number behind an object",
        '{"prompt": "a"}\n7\n',
        ', line 2: expected an object, as in {"prompt": "a fox"}, not a number',
    ),
    lines("half an object", '{"prompt": "a"\n', ", line 1: it is not JSON"),
    lines("an object on several lines", '{\n"prompt": "a"\n}\n', ", line 1: it is not JSON"),
    lines("a comma too many", '{"prompt": "a",}\n', ", line 1: it is not JSON"),
    lines("a key twice", '{"prompt": "a", "prompt": "b"}\n', ", line 1: 'prompt' appears twice in one object"),
    lines("nesting without end", '{"prompt": ' + "[" * 100_000 + "\n", ", line 1: the JSON is nested too deeply"),
    lines(
        "a number of five thousand digits",
        f'{{"prompt": "a", "seed": {"7" * 5000}}}\n',
        ", line 1: a number has 5000 digits",
    ),
    lines(
        "a number too large",
        '{"prompt": "a", "model": "dev", "guidance": 1e999}\n',
        ", line 1: guidance: inf was given",
    ),
    lines("NaN", '{"prompt": "a", "seed": NaN}\n', ", line 1: NaN is not JSON; leave the value out"),
    lines("a list of prompts", '{"prompt": ["a"]}\n', ", line 1: prompt: ['a'] was given"),
    lines("a table", ROW, ", line 1: it is not JSON"),
    lines("an empty object", "{}\n", ", line 1: the row has no prompt"),
    lines("a list as key", '{"prompt": "a", "key": ["k"]}\n', ", line 1: key: ['k'] was given"),
    lines("a number as model", '{"prompt": "a", "model": 5}\n', ", line 1: model: 5 was given; must be the name"),
    lines("a model that climbs", '{"prompt": "a", "model": "../x"}\n', ", line 1: model: '../x' was given"),
    lines(
        "a number as image",
        '{"prompt": "a", "model": "dev", "image": 5}\n',
        f", line 1: image: 5 was given; {LINK_OR_FILE}",
    ),
    lines(
        "a NUL in a path",
        '{"prompt": "a", "model": "dev", "image": "a\\u0000b"}\n',
        ", line 1: image: 'a\\x00b' contains a NUL character",
    ),
    lines("half a character", '{"prompt": "a\\ud800"}\n', ", line 1: prompt: 'a\\ud800' was given"),
    # The file itself.
    # Names, columns and wildcards.
    table("a name of no field", "prompt\na\n", "--name|{sku}", "{sku} is not a field of the jobs"),
    table("a name with an attribute", "prompt\na\n", "--name|{key.x}", "{key.x} is not a field"),
    table("one name twice", "prompt\na\na\n", "--name|{slug}", "line 2 has the name 'a', too"),
    table("an absolute name", "prompt\na\n", "--name|/tmp/{slug}", "must not begin with a slash"),
    table("a name that leaves", "prompt\na\n", "--name|../{slug}", "must not have the part .."),
    table("a name of a device", "prompt\na\n", "--name|nul", "Windows reserves this one"),
    table("a name of a drive", "prompt\na\n", "--name|c:{slug}", "must not have ':'"),
    table("a key column that is missing", "prompt\na\n", "--key-column|sku", "there is no column 'sku'"),
    table("a kept column that is missing", "prompt,sku\na,1\n", "--keep|skuu", "did you mean 'sku'?"),
    table("a reference that is not taken", "prompt,reference\na,b.png\n", "--quiet", "takes no reference image"),
    table("a delimiter of two characters", "prompt\na\n", "--delimiter|;;", "must be one character"),
    table("a wildcard that is missing", "prompt\n__a__\n", "--wildcards|.", "there is no file 'a.txt'"),
    table("a wildcard without a folder", "prompt\n__a__\n", "--wildcard-seed|1", "no folder of lists is given"),
    table("a wildcard that is not closed", "prompt\n{a|b\n", "--wildcard-seed|1", "a brace is not closed"),
    table("a sample of nothing", "prompt\na\n", "--sample|0", "must be a whole number from 1"),
    called("a file that is missing", "batch|nowhere.csv", "nowhere.csv: there is no such file"),
    called("a file without a name", "batch| ", "the name of the prompt file is blank"),
    called("a file below a file", "batch|/dev/null/a.csv", "the file cannot be read (Not a directory)"),
    called("a file with a NUL", "batch|a\0b.csv", "the file cannot be read (its name holds a NUL)"),
    called("an address as a file", "batch|https://example.com/a.csv", "there is no such file"),
    Command(
        "a folder", ("batch", "place.csv"), "this is a folder; give a file in it", 2, lambda: Path("place.csv").mkdir()
    ),
    Command("a link to nowhere", ("batch", "place"), "place: there is no such file", 2, _link("nowhere")),
    Command(
        "a link to itself",
        ("batch", "place", "--format", "csv"),
        "Too many levels of symbolic links",
        2,
        _link("place"),
    ),
    # Images.
    image("missing", "a.png", "'a.png' was given; the file cannot be read (No such file or directory)"),
    image("a folder", ".", "'.' was given; the file cannot be read (Is a directory)"),
    image("a text", "a.png", "'a.png' was given; must be a PNG", lambda: Path("a.png").write_text("no image")),
    image("empty", "a.png", "'a.png' was given; must be a PNG", lambda: Path("a.png").touch()),
    image(
        "too large",
        "a.png",
        "'a.png' was given; the file has 9000069 bytes",
        lambda: Path("a.png").write_bytes(PNG + bytes(9_000_000)),
    ),
    image("a pipe", "a.png", "'a.png' was given; this is a pipe or a device", lambda: os.mkfifo("a.png")),
    image("a device", "/dev/zero", "'/dev/zero' was given; this is a pipe or a device"),
    image("a link to nowhere", "place", "'place' was given; the file cannot be read (No such file", _link("nowhere")),
    image("nothing", "", f"'' was given; {LINK_OR_FILE}"),
    image("half an address", "https://", f"'https://' was given; {LINK_OR_FILE}"),
    image("an address of a file", "file:///a.png", f"'file:///a.png' was given; {LINK_OR_FILE}"),
    image(
        "a data URI that is broken", "data:image/png;base64,%%%", "'data:image/png;base64,%%%' was given; the base64"
    ),
    image("a name too long", "x" * 300, "'xxx"),
    # Folders.
    out("a file", "place", "'place' is a file, not a folder", lambda: Path("place").touch()),
    out("below a file", "place/a", "'place/a' cannot be written to: Not a directory", lambda: Path("place").touch()),
    out("a link to nowhere", "place", "'place' is a link that leads nowhere, not a folder", _link("nowhere")),
    out("a pipe", "place", "'place' is not a folder", lambda: os.mkfifo("place")),
    out("a name too long", "x" * 300, "cannot be written to: File name too long"),
    out("a NUL", "a\0b", "cannot be written to: its name holds a NUL"),
    called("batch: out: a NUL", "batch|a.csv|--out|a\0b", "cannot be written to: its name holds a NUL", 3),
    out("nothing", "", "--out is blank; give a value, or leave the option out", code=2),
    called("status of nothing", "status|nowhere", "there is no folder 'nowhere'; name the folder", 3),
    *(
        called(f"{name} of a NUL", f"{name}|a\0b", "must be the path of a file, or of a folder", 3)
        for name in ("status", "unknown", "resume")
    ),
    called("gallery of a NUL", "gallery|a\0b", "there is no folder 'a\\x00b'", 3),
    Command(
        "status of a file",
        ("status", "place"),
        "'place' is not a journal of cometflux",
        3,
        lambda: Path("place").write_text("x"),
    ),
    Command(
        "resuming a file",
        ("resume", "place"),
        "'place' is not a journal of cometflux",
        3,
        lambda: Path("place").write_text("x"),
    ),
    Command("resuming a pipe", ("resume", "place"), "there is no journal at 'place'", 3, lambda: os.mkfifo("place")),
    # Options.
    called(
        "an option of another model",
        "generate|a boat|--guidance|3",
        "guidance is a parameter of flux-dev, flux-pro and",
    ),
    called(
        "a custom ratio without sides", "generate|a boat|--model|pro|--aspect-ratio|custom", "width: nothing was given"
    ),
    called("an input without a value", "generate|a boat|--input|seed", "--input seed: write it as key=value"),
    called("an input without a name", "generate|a boat|--input|=5", "--input =5: write it as key=value"),
    called(
        "an unknown input",
        "generate|a boat|--input|foo=5|--strict",
        "--input foo: '5' was given; flux-schnell has no such",
    ),
    called(
        "a model that climbs", "generate|a boat|--model|../x", "--model: '../x' was given; a model is named owner/name"
    ),
    called("a limit below nothing", "generate|a boat|--limit|-1", "--limit: '-1' was given; must be a whole number"),
    called(
        "an address without a scheme", "generate|a boat|--base-url|example.com", "--base-url 'example.com': must", 3
    ),
    called(
        "an address that is none",
        "generate|a boat|--base-url|https://a..b",
        "--base-url 'https://a..b': 'a..b' is not a host name",
        3,
    ),
    called("a proxy of another kind", "generate|a boat|--proxy|socks5://x", "--proxy 'socks5://x': must be an http", 3),
    called(
        "a service that is slow backwards",
        "local-service|--latency|-1",
        "--latency -1.0: must be a number of seconds from 0\n",
    ),
    called("a service with an unknown fault", "local-service|--fault|nope", "there is no fault 'nope'"),
]
