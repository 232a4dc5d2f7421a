"""What a program may hand over: to the classes of the models, to a job, to the settings, and to a session."""

import decimal
import io
import math
import os
from pathlib import Path

import attrs
from odd_files import make_pipe

from cometflux import Job, Journal, OutputOf, PollPolicy, RetryPolicy, Session, flux, open_session
from cometflux.errors import ConfigError, ConnectError, InputError, OutputError
from cometflux.predictions import Prediction, Status
from cometflux.protocol.requests import Request
from cometflux.transport.aiohttp import AiohttpTransport

KEY = "sk-canary-0123456789"
URL = "https://example.com/a.png"


@attrs.frozen
class Given:
    """What is given, and the error that tells what was wrong and what is allowed."""

    id: str
    call: object
    """A function of nothing, or of an open session and a folder to work in."""
    error: type[Exception] | None = InputError
    says: str = ""
    bills: int = 0


# ── values: checked where they are made ──────────────────────────────────────────────────────────────────────────────


def model(name, model, says, **values):
    return Given(f"{model.__name__}: {name}", lambda: model(**{"prompt": "x", **values}), InputError, says)


TEXT = "must be a text that is not blank"
SEED = "must be a whole number that fits in 64 bits"
IMAGE = "must be an http(s) URL, a data URI, a pathlib.Path or bytes"
CUSTOM = "allowed only together with aspect_ratio='custom'"

MODELS = [
    model("a prompt of None", flux.Schnell, f"prompt: None was given; {TEXT}", prompt=None),
    model("a prompt of bytes", flux.Dev, f"prompt: a value of 1 byte was given; {TEXT}", prompt=b"x"),
    model("a prompt of nothing", flux.Pro, f"prompt: '' was given; {TEXT}", prompt=""),
    model("a prompt of whitespace", flux.Pro11, f"prompt: ' \\n\\u3000' was given; {TEXT}", prompt=" \n\u3000"),
    model("a list of prompts", flux.Flux2Pro, f"prompt: ['x', 'y'] was given; {TEXT}", prompt=["x", "y"]),
    model("a prompt that is half a character", flux.Flux2Max, "half of a surrogate pair", prompt="a\ud800"),
    model("an unknown parameter", flux.Schnell, "flux-schnell has no such parameter", unknown=1),
    model("a misspelt parameter", flux.Schnell, "did you mean 'aspect_ratio'?", aspect_ration="1:1"),
    model("a parameter of another model", flux.Schnell, "guidance is a parameter of flux-dev", guidance=3),
    model("an image for one that takes none", flux.Schnell, "takes no reference image", image=URL),
    model("images for one that takes one", flux.KontextPro, "takes one image, as 'input_image'", input_images=[URL]),
    model("too many outputs", flux.Schnell, "num_outputs: 5 was given; must be a whole number from 1", num_outputs=5),
    model("no output", flux.Dev, "num_outputs: 0 was given; must be a whole number from 1 to 4", num_outputs=0),
    model("outputs as text", flux.Dev, "num_outputs: '2' was given", num_outputs="2"),
    model("outputs as float", flux.Dev, "num_outputs: 2.0 was given", num_outputs=2.0),
    model("outputs as True", flux.Dev, "num_outputs: True was given", num_outputs=True),
    model("five steps", flux.Schnell, "must be a whole number from 1 to 4", num_inference_steps=5),
    model("too many steps", flux.Dev, "must be a whole number from 1 to 50", num_inference_steps=51),
    model("a seed of 65 bits", flux.Schnell, f"seed: 18446744073709551616 was given; {SEED}", seed=2**64),
    model(
        "a seed of five thousand digits", flux.Flux2Dev, f"seed: a value of type int was given; {SEED}", seed=10**5000
    ),
    model("a seed that is no number", flux.Pro, f"seed: nan was given; {SEED}", seed=math.nan),
    model("guidance of NaN", flux.Dev, "guidance: nan was given; must be a number from 0 to 10", guidance=math.nan),
    model("guidance without bound", flux.Dev, "guidance: inf was given", guidance=math.inf),
    model("guidance as a decimal", flux.Flux2Flex, "guidance: Decimal('3') was given", guidance=decimal.Decimal(3)),
    model("guidance below", flux.Flux2Flex, "guidance: 1 was given; must be a number from 1.5 to 10", guidance=1),
    model("guidance below its own least", flux.Pro, "must be a number from 2 to 5", guidance=1.99),
    model("an interval above", flux.Pro, "interval: 5 was given; must be a number from 1 to 4", interval=5),
    model("a quality above", flux.Schnell, "output_quality: 101 was given", output_quality=101),
    model("a tolerance of 6", flux.Flux2Pro, "must be a whole number from 1 to 5", safety_tolerance=6),
    model("a tolerance of 0", flux.Pro11Ultra, "must be a whole number from 1 to 6", safety_tolerance=0),
    model("a loose tolerance with an image", flux.KontextMax, "0 to 2", safety_tolerance=3, input_image=URL),
    model("a ratio with an x", flux.Schnell, "did you mean '16:9'?", aspect_ratio="16x9"),
    model("a ratio as numbers", flux.Schnell, "give it as a string, in quotes", aspect_ratio=(16, 9)),
    model("a ratio of another model", flux.Schnell, "aspect_ratio: 'custom' was given", aspect_ratio="custom"),
    model("jpeg", flux.Schnell, "did you mean 'jpg'?", output_format="jpeg"),
    model("webp where there is none", flux.KontextPro, "must be 'jpg' or 'png'", output_format="webp"),
    model("megapixels as a number", flux.Dev, "must be '1' or '0.25'; give it as a string", megapixels=1),
    model("a resolution without its blank", flux.Flux2Max, "did you mean '2 MP'?", resolution="2MP"),
    model("a custom ratio without sides", flux.Pro, "needs both width and height", aspect_ratio="custom"),
    model("a custom ratio with one side", flux.Flux2Dev, "height: nothing was given", aspect_ratio="custom", width=512),
    model("a side without a custom ratio", flux.Flux2Flex, CUSTOM, width=512),
    model("a side too large", flux.Pro11, "from 256 to 1440", aspect_ratio="custom", width=2048, height=512),
    model("a side with halves", flux.Pro, "width: 512.5", aspect_ratio="custom", width=512.5, height=512),
    model("yes as a boolean", flux.Schnell, "go_fast: 'yes' was given; must be True or False", go_fast="yes"),
    model("1 as a boolean", flux.Pro11Ultra, "raw: 1 was given; must be True or False", raw=1),
    model("the name of a file as an image", flux.Dev, "wrap the name of a file in pathlib.Path", image="boat.png"),
    model("no bytes as an image", flux.Dev, f"image: a value of 0 bytes was given; {IMAGE}", image=b""),
    model("a bytearray as an image", flux.Dev, IMAGE, image=bytearray(b"\x89PNG")),
    model("an address without a host", flux.Dev, IMAGE, image="https:///a.png"),
    model("an address of a file", flux.KontextPro, IMAGE, input_image="file:///etc/passwd"),
    model("an address with a blank", flux.Pro, "a URL has no whitespace", image_prompt="https://example.com/a b.png"),
    model("a data URI of nothing", flux.Dev, "the data URI is empty", image="data:image/png;base64,"),
    model("a data URI that is broken", flux.Dev, "the base64 of the data URI is broken", image="data:;base64,%%%"),
    model("a data URI of a text", flux.Dev, "and this one is text/plain", image="data:text/plain,hello"),
    model("one image instead of a list", flux.Flux2Pro, "give a list, even for a single image", input_images=URL),
    model("a set of images", flux.Flux2Pro, "must be a list of at most 8 images", input_images={URL}),
    model("a list in a list", flux.Flux2Pro, "input_images: ['https", input_images=[[URL]]),
    model("None in a list", flux.Flux2Flex, "input_images: None was given", input_images=[None]),
    model("five images of four", flux.Flux2Dev, "at most 4 images, and it holds 5", input_images=[URL] * 5),
    model("a strength without an image", flux.Dev, "allowed only together with image", prompt_strength=0.5),
    Given("a prompt without its name", lambda: flux.Schnell("a boat"), says="give it by its name: Schnell(prompt=...)"),
    Given("no prompt", flux.Schnell, TypeError, "missing 1 required keyword-only argument: 'prompt'"),
    Given("a model that is none", lambda: flux.find("flux-3"), says="did you mean 'flux-"),
    Given("a number for a model", lambda: flux.find(5), says="must be the name of a model, as a string"),
    Given("parameters of a number", lambda: flux.parameters(5), says="must be the name of a model, as a string"),
]


def job(name, says, **values):
    return Given(f"a job with {name}", lambda: Job(**{"model": "a/b", "input": {}, **values}), InputError, says)


def _endless():
    values = {}
    values["self"] = values
    return values


class Mute:
    def __repr__(self):
        raise RuntimeError


SCHNELL = "black-forest-labs/flux-schnell"


def output(id_, says, *arguments):
    return Given(f"the output of a job: {id_}", lambda: OutputOf(*arguments), InputError, says)


DRAFT = flux.Schnell(prompt="x")
CHAINS = [
    output("of a number", "source: 3 was given; must be a cometflux.flux object, a Job, or the key of a job", 3),
    output("of the class of a model", "must be a cometflux.flux object, a Job, or the key", flux.Schnell),
    output("of a prediction", "must be a cometflux.flux object", Prediction(id="p1", status=Status.SUCCEEDED)),
    output("of a blank key", "must be the key of a job, and a key is not blank", " "),
    output("before the first", "index: -1 was given; must be a whole number from 0", "draft", -1),
    output("at True", "index: True was given; must be a whole number from 0", "draft", True),
    output("at a text", "index: '1' was given; must be a whole number from 0", "draft", "1"),
    model("the class of a model as an image", flux.KontextPro, IMAGE, input_image=flux.Schnell),
    model("a job in place of a list", flux.Flux2Pro, "must be a list of at most 8 images", input_images=DRAFT),
    model("a job for a model without images", flux.Schnell, "takes no reference image", image=DRAFT),
    model("a job as a prompt", flux.Schnell, TEXT, prompt=DRAFT),
    job("another job as a number", "seed: OutputOf", model=SCHNELL, input={"prompt": "x", "seed": OutputOf("draft")}),
]
JOBS = [
    job("the short name of a model", "did you mean 'black-forest-labs/flux-schnell'?", model="flux-schnell"),
    job("the class of a model", "did you mean 'black-forest-labs/flux-dev'?", model=flux.Dev),
    job("a model that climbs", "a model is named owner/name", model="../../predictions/x"),
    job("no model", "model: None was given; a model is named owner/name", model=None),
    job("a model in capitals", "did you mean 'black-forest-labs/flux-schnell'?", model=SCHNELL.upper()),
    job("no input", "input: None was given; must be a mapping", input=None),
    job("a text as input", "input: 'a boat' was given; must be a mapping", input="a boat"),
    job("a number as the name of a parameter", "the name of a parameter must be text", input={5: 1}),
    job("an input that holds itself", "must have at most 32 levels", input=_endless()),
    job("a date", "must be text, a number", input={"a": decimal.Decimal(1)}),
    job("an open file", "must be text, a number", input={"image": io.BytesIO()}),
    job("NaN", "a: nan was given; must be a finite number", input={"a": math.nan}),
    job("an empty key", "key: '' was given; must be a string that is not blank", key=""),
    job("a blank key", "key: '\\t' was given", key="\t"),
    job("a number as key", "key: 7 was given", key=7),
    job("bytes as key", "key: a value of 3 bytes was given", key=b"key"),
    job("half a character as key", "half a surrogate pair", key="\ud800"),
    job("a text for whether to check it", "validate: 'no' was given; must be True or False", validate="no"),
    job("a prompt of null for a known model", TEXT, model=SCHNELL, input={"prompt": None}),
    job("no prompt for a known model", "prompt: nothing was given", model=SCHNELL),
    job("null for what may be left out", "leave the parameter out", model=SCHNELL, input={"prompt": "x", "seed": None}),
    Given("the class of a model as a job", lambda: Job.of(flux.Dev), says="make an object of it: Dev(prompt=...)"),
    Given(
        "an object without a text as a job", lambda: Job.of(Mute()), says="job: a value of type Mute was given; must be"
    ),
    Given("the base of the models as a job", lambda: Job.of(flux.Flux(prompt="x")), says="must be a cometflux.flux"),
]


def settings(says, error=ConfigError, **values):
    shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return Given(shown[:80], lambda: open_session(**{"api_key": KEY, **values}), error, says)


WHOLE = "must be a whole number from"
MINUTE = "must be None or a number of requests a minute above 0"
FOLDER = "must be the path of a file, or of a folder"


SETTINGS = [
    settings("api_key: a value of type int was given; must be a string", api_key=5),
    settings("api_key: a value of type bytes was given; must be a string", api_key=b"sk-canary"),
    settings("base_url: a value of type int was given", base_url=5),
    settings(f"max_pending=0: {WHOLE} 1", max_pending=0),
    settings(f"max_pending='8': {WHOLE} 1", max_pending="8"),
    settings(f"max_pending=True: {WHOLE} 1", max_pending=True),
    settings(f"max_pending=2.0: {WHOLE} 1", max_pending=2.0),
    settings(f"creates_per_minute=0: {MINUTE}", creates_per_minute=0),
    settings(f"creates_per_minute=-1.5: {MINUTE}", creates_per_minute=-1.5),
    settings(f"creates_per_minute=nan: {MINUTE}", creates_per_minute=float("nan")),
    settings(f"creates_per_minute=inf: {MINUTE}", creates_per_minute=float("inf")),
    settings(f"creates_per_minute='600': {MINUTE}", creates_per_minute="600"),
    settings(f"polls_per_minute=True: {MINUTE}", polls_per_minute=True),
    settings(f"polls_per_minute='fast': {MINUTE}", polls_per_minute="fast"),
    settings("poll_policy=5: must be a PollPolicy", poll_policy=5),
    settings("must be a PollPolicy", poll_policy=PollPolicy),
    settings("retry_policy={'tries': 3}: must be a RetryPolicy", retry_policy={"tries": 3}),
    settings(FOLDER, journal=5),
    settings(FOLDER, journal=True),
    settings(FOLDER, journal=" "),
    settings(f"journal='a\\x00b': {FOLDER}", journal="a\0b"),
    settings(f"journal='a\\x00b': {FOLDER}", journal=Path("a\0b")),
    settings("new_key='yes': must be True or False", new_key="yes"),
    settings("new_key=None: must be True or False", new_key=None),
    settings("on_event='print': must be a function", on_event="print"),
    settings("must be 'hold', 'resend', 'settle' or an async function", on_unknown="retry"),
    settings("must be 'hold', 'resend', 'settle' or an async function", on_unknown=None),
    settings("may pay twice, so it needs a limit: set max_resends", on_unknown="resend"),
    settings("has no meaning with on_unknown='hold'", max_resends=3),
    settings("needs the access token of the account", on_unknown="settle"),
    settings("the access token is an API key", access_token="sk-0123456789"),
    settings("the access token contains whitespace", access_token="two words"),
    settings("a value of type int was given; must be a string", access_token=7),
    settings(f"max_resends=0: {WHOLE} 1", on_unknown="resend", max_resends=0),
    settings(f"max_resends='3': {WHOLE} 1", on_unknown="resend", max_resends="3"),
    settings(f"max_predictions=-1: {WHOLE} 0", max_predictions=-1),
    settings(f"max_predictions=1.5: {WHOLE} 0", max_predictions=1.5),
    settings(f"max_predictions='10': {WHOLE} 0", max_predictions="10"),
    settings("max_cost=0: must be a number of dollars above 0", max_cost=0),
    settings("max_cost=-1: must be a number of dollars from 0", max_cost=-1),
    settings("max_cost=nan: must be a number of dollars from 0", max_cost=float("nan")),
    settings("max_cost='5 EUR': must be a number of dollars, such as 0.04", max_cost="5 EUR"),
    settings("must be a table from the name of a model to its price", prices=[0.04]),
    settings("prices['flux-dev']=-1: must be a number of dollars from 0", prices={"flux-dev": -1}),
    settings("prices['flux-dev']='0.04': must be a number of dollars", prices={"flux-dev": "0.04"}),
    settings("did you mean 'flux-dev'?", prices={"flux-deev": 1}),
    settings(f"retry_failed=-1: {WHOLE} 0", retry_failed=-1),
    settings(f"retry_failed=None: {WHOLE} 0", retry_failed=None),
    settings(f"largest_output=0: {WHOLE} 1", largest_output=0),
    settings(f"largest_output=1000000.0: {WHOLE} 1", largest_output=1e6),
    settings("proxy='localhost:3128': must be an http or https URL", proxy="localhost:3128"),
    settings("proxy='socks5://example.com': must be", proxy="socks5://example.com"),
    settings("proxy: this contains whitespace", proxy="http://example.com \n"),
    settings("proxy: a value of type int was given", proxy=3128),
    settings("'example..com' is not a host name", proxy="http://example..com:3128"),
    settings("ssl='ca.pem': must be an ssl.SSLContext", ssl="ca.pem"),
    settings("ssl=False: must be an ssl.SSLContext", ssl=False),
    settings("ssl=True: must be an ssl.SSLContext", ssl=True),
    settings("unexpected keyword argument 'timeout'", TypeError, timeout=5),
    Given("a session without a transport", lambda: Session(None), ConfigError, "transport=None: must be an object"),
    Given("the class of a transport", lambda: Session(AiohttpTransport), ConfigError, "submit, send, download, aclose"),
    Given("a transport that only submits", lambda: Session(type("T", (), {"submit": 1})()), ConfigError, "transport="),
    *(
        Given(
            f"a grace of {grace!r}",
            lambda grace=grace: Session(AiohttpTransport(KEY, "http://127.0.0.1:9"), grace=grace),
            ConfigError,
            f"grace={grace!r}: must be a number of seconds above 0, and at most 1000000000",
        )
        for grace in (0, -1, math.nan, "30", None)
    ),
    Given("a poll interval of 0", lambda: PollPolicy.every(0), ConfigError, "floor=0: must be a number"),
    Given("a poll interval as text", lambda: PollPolicy.every("1"), ConfigError, "floor='1': must be"),
    Given("no polls", lambda: PollPolicy(polls=0), ConfigError, "polls=0: must be a number of polls"),
    Given("a floor above the ceiling", lambda: PollPolicy(floor=40), ConfigError, "floor=40: must be at most"),
    Given("patience of NaN", lambda: PollPolicy(patience=math.nan), ConfigError, "patience=nan: must be a number"),
    Given("no try", lambda: RetryPolicy(tries=0), ConfigError, "tries=0: must be a whole number from 1"),
    Given("waiting for ever", lambda: RetryPolicy(wait=math.inf), ConfigError, "at most 3600"),
    Given("a journal of None", lambda: Journal(None), ConfigError, FOLDER),
    Given("a journal of bytes", lambda: Journal(b"/tmp"), ConfigError, FOLDER),
    Given("a journal that is not there", lambda: Journal("nowhere.sqlite3"), ConfigError, "there is no journal at"),
]

VALUES = [*MODELS, *CHAINS, *JOBS, *SETTINGS]


# ── calls: what an open session is asked to do ───────────────────────────────────────────────────────────────────────

ITEM = "must be a cometflux.flux object, a Job, or a prompt as a string"
MANY = "must be an iterable or async iterable of jobs; for one job use run()"
SECONDS = "must be a number of seconds above 0, and at most 1000000000"
DONE = Prediction(id="abc", status=Status.SUCCEEDED)


async def _all(batch):
    return [outcome async for outcome in batch]


def run(name, value, says):
    return Given(f"run {name}", lambda session, _: session.run(value), InputError, says)


def many(name, value, says, bills=0):
    return Given(f"generate {name}", lambda session, _: _all(session.generate(value)), InputError, says, bills)


def image(name, make, says):
    """An image that is made in the folder, and sent by path."""
    return Given(
        f"an image that is {name}",
        lambda session, folder: session.run(flux.Dev(prompt="x", image=make(folder))),
        InputError,
        says,
    )


def _file(data, name="a.png"):
    def make(folder):
        (folder / name).write_bytes(data)
        return folder / name

    return make


def _made(how):
    def make(folder):
        how(folder / "a.png")
        return folder / "a.png"

    return make


def _sparse(folder):
    path = _file(b"\x89PNG\r\n\x1a\n")(folder)
    os.truncate(path, 2**40)
    return path


async def _saved(session, folder, *arguments):
    prediction = await session.run("a boat")
    return await session.save(prediction, *(each(folder) if callable(each) else each for each in arguments))


def save(name, error, says, *arguments):
    return Given(f"save {name}", lambda s, folder: _saved(s, folder, *arguments), error, says, 1)


async def _sent_to(url):
    transport = AiohttpTransport(KEY, url)
    try:
        await transport.submit(Request("POST", "/models/a/b/predictions", b"{}"))
    finally:
        await transport.aclose()


ID = "must be at most 256 letters, digits and . _ ~ : -"

CALLS = [
    run("None", None, ITEM),
    run("a number", 5, ITEM),
    run("bytes", b"a boat", ITEM),
    run("a dict", {"prompt": "a boat"}, ITEM),
    run("a list of prompts", ["a boat"], ITEM),
    run("the class of a model", flux.Schnell, "make an object of it: Schnell(prompt=...)"),
    run("a path", Path("prompts.csv"), ITEM),
    run("nothing", "", TEXT),
    *(
        Given(
            f"patience of {patience!r}",
            lambda session, _, patience=patience: session.run("x", patience=patience),
            ConfigError,
            f"patience={patience!r}: {SECONDS}",
        )
        for patience in (0, -1, math.nan, math.inf, "5", True, 10**400)
    ),
    many("None", None, MANY),
    many("a prompt", "a boat", MANY),
    many("bytes", b"a boat", MANY),
    many("a dict", {"prompt": "a boat"}, MANY),
    many("a job", Job(model="a/b", input={}), MANY),
    many("an object of a model", flux.Schnell(prompt="a boat"), MANY),
    many("a number", 5, MANY),
    many("numbers", range(3), f"job: 0 was given; {ITEM}"),
    many("a prompt and then None", ["a boat", None], f"job: None was given; {ITEM}", 1),
    many("a prompt and then nothing", ["a boat", ""], TEXT, 1),
    many("one key twice", [Job.of("x", key="k"), Job.of("y", key="k")], "an earlier job of this batch has this key", 1),
    image("missing", lambda folder: folder / "nowhere.png", "the file cannot be read (No such file or directory)"),
    image("a folder", lambda folder: folder, "the file cannot be read (Is a directory)"),
    image("a text", _file(b"no image", "text.png"), "text.png' was given; must be a PNG, JPEG, WebP or GIF image"),
    image("empty", _file(b""), "a.png' was given; must be a PNG, JPEG, WebP or GIF image"),
    image("a terabyte", _sparse, "a.png' was given; at most 8 MiB are sent with a job"),
    image("a pipe", _made(make_pipe), "this is a pipe or a device; give a file"),
    image("a device", lambda _: Path("/dev/zero"), "this is a pipe or a device; give a file"),
    image("a link to nowhere", _made(lambda path: path.symlink_to("nowhere")), "No such file or directory"),
    image("a link to itself", _made(lambda path: path.symlink_to(path)), "Too many levels of symbolic links"),
    image("no name of a file", lambda _: Path("a\0b"), "no file can have this path"),
    image("a name too long", lambda _: Path("x" * 300), "File name too long"),
    image("bytes of a text", lambda _: b"no image", "a value of 8 bytes was given; must be a PNG, JPEG, WebP or GIF"),
    save("no prediction", InputError, "name: 5 was given; must be a file name", lambda folder: folder, 5),
    save("in None", ConfigError, "folder=None: must be the path of a folder", None),
    save("in a number", ConfigError, "folder=5: must be the path of a folder", 5),
    save("in bytes", ConfigError, "folder=b'x': must be the path of a folder", b"x"),
    save("in nothing", ConfigError, "folder='': must be the path of a folder", ""),
    save("in a file", OutputError, "a.png' is a file, not a folder", _file(b"")),
    save("under a name that climbs", InputError, "must be a file name", lambda folder: folder, "../a"),
    save("under a name that is too long", InputError, "must have at most 200 bytes, not 300", lambda f: f, "a" * 300),
    save("under the name of a device", InputError, "Windows reserves this one", lambda folder: folder, "CON"),
    Given("save an id", lambda s, folder: s.save("abc", folder), says="must be a Prediction; session.client.get"),
    Given("save what has no output", lambda s, f: s.save(DONE, f), OutputError, "there is no output to save"),
    Given("download None", lambda session, _: session.download(None), says="prediction: None was given"),
    Given("download an id", lambda session, _: session.download("abc"), says="must be a Prediction"),
    *(
        Given(f"ask after {name}", lambda session, _, bad=bad: session.client.get(bad), says=ID)
        for name, bad in (
            *(("None", None), ("a number", 5), ("nothing", ""), ("bytes", b"abc"), ("what climbs", "../models")),
            *(("a query", "a?b"), ("too long an id", "x" * 257), ("another script", "\u0430")),
        )
    ),
    Given("cancel None", lambda session, _: session.client.cancel(None), says=ID),
    Given("create None", lambda session, _: session.client.create(None), says="job: None was given; must be a Job"),
    Given("create a prompt", lambda session, _: session.client.create("a boat"), says="Job.of makes one"),
    Given(
        "create with a path",
        lambda session, _: session.client.create(Job(model="a/b", input={"image": Path("a.png")})),
        says="files are read by the session",
    ),
    Given("fetch None", lambda session, _: session.client.download(None), says="url: None was given; must be the URL"),
    Given(
        "send to an address that is none",
        lambda *_: _sent_to("https://a\\b"),
        ConnectError,
        "the HTTP library failed (ValueError: ",
    ),
    Given("fetch a path", lambda s, _: s.client.download("a.png"), OutputError, "only https URLs are fetched"),
]


# ── what `on_unknown` may turn out to be ─────────────────────────────────────────────────────────────────────────────


async def _takes_one(job):
    return "hold"


async def _raises(job, error):
    raise KeyError("odd")


def _returning(value):
    async def decide(job, error):
        return value

    return decide


DECIDERS = [
    Given("one that is not async", lambda job, error: "hold"),
    Given("one that takes too little", _takes_one),
    Given("one that raises", _raises),
    *(Given(f"one that returns {value!r}", _returning(value)) for value in (None, 5, "", "HOLD", "../x", "nowhere")),
]
