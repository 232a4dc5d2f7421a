"""Images are signed with a certificate of the user's, and C2PA's own reader says so."""

import io
import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from noise_images import still
from PIL import Image, ImageSequence
from signing import Chain, add_signature, pem_of
from timestamp_authority import timestamp_authority

from cometflux import Job, flux, open_session
from cometflux.errors import ConfigError, MissingExtraError
from cometflux.provenance.embed import embed, extract, is_same_picture, is_signed_copy
from cometflux.provenance.signing import Signer
from cometflux.provenance.xmp import GENERATED
from cometflux.testing import LocalService

WHY = "c2pa-python is not installed: make test-readers"
MODEL = "black-forest-labs/flux-dev"
RECORD = {"key": "a", "index": 0, "model": MODEL, "input": {"prompt": "a boat"}, "prediction": {"id": "p1"}}
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
SHAPES = [
    *(("PNG", mode) for mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
]


@pytest.fixture
def c2pa():
    return pytest.importorskip("c2pa", reason=WHY)


@pytest.fixture
def chain(c2pa, tmp_path):
    return Chain(tmp_path)


@pytest.fixture
def signer(chain):
    return Signer(chain.certificate, chain.key)


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        frames = [(frame.mode, frame.size, frame.tobytes()) for frame in ImageSequence.Iterator(image)]
        return frames, {name: image.info.get(name) for name in ("icc_profile", "xmp", "exif", "transparency")}


def read(c2pa, data, kind):
    """Return what C2PA's own reader says of an image: its state, its manifest, and what failed."""
    with c2pa.Reader(kind, io.BytesIO(data)) as reader:
        told = json.loads(reader.json())
    failed = told["validation_results"]["activeManifest"]["failure"]
    return told["validation_state"], told["manifests"][told["active_manifest"]], {each["code"] for each in failed}


# ── without c2pa ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_the_extra_one_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    for name in ("chain.pem", "key.pem"):
        (tmp_path / name).write_text("a PEM file")
    with pytest.raises(MissingExtraError, match=r'pip install "cometflux\[c2pa\]"'):
        Signer(tmp_path / "chain.pem", tmp_path / "key.pem")


def test_nothing_of_it_is_loaded_before_a_signer_is_made():
    script = """
import sys, cometflux, cometflux.provenance.signing
cometflux.open_session(api_key="k", base_url="http://127.0.0.1:1")
sys.exit(bool({"c2pa", "cryptography"} & set(sys.modules)))
"""
    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode


@pytest.mark.parametrize("setting", ["certificate", "private_key"])
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("none.pem", "cannot be read: No such file or directory"),
        ("folder", "is not a file"),
        ("large.pem", "cannot be read: it is larger than 1 MiB"),
        ("a\0b", "cannot be read: its name holds a NUL"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error_that_names_it(setting, path, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("large.pem").write_bytes(b"x" * 2_000_000)
    Path("good.pem").write_text("a PEM file")
    given = {"certificate": "good.pem", "private_key": "good.pem", setting: path}
    with pytest.raises(ConfigError) as caught:
        Signer(**given)
    assert f"{setting}={path!r}: {problem}" == caught.value.message


@pytest.mark.parametrize("value", [None, "", " ", 7, b"chain.pem"])
def test_what_is_not_a_path_is_refused(value):
    with pytest.raises(ConfigError, match="must be the path of a PEM file"):
        Signer(value, "key.pem")


@pytest.mark.parametrize("url", ["", "stamps", "ftp://a", "http://", "http://me:secret@a/", "http://[", 7])
def test_a_timestamp_url_that_is_none_is_refused_and_not_shown(url, tmp_path):
    (tmp_path / "a.pem").write_text("a PEM file")
    with pytest.raises(ConfigError, match=r"timestamp_url.*must be an http or https URL without a password") as caught:
        Signer(tmp_path / "a.pem", tmp_path / "a.pem", timestamp_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", [True, "chain.pem", Signer])
def test_a_session_takes_only_a_signer(value, service):
    with pytest.raises(ConfigError, match=r"sign.*must be a Signer"):
        open_session(api_key=service.key, base_url=service.url, sign=value)


# ── the certificate and its key ──────────────────────────────────────────────────────────────────────────────────────


def keys():
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    return {
        "P-256": (ec.generate_private_key, ec.SECP256R1()),
        "P-384": (ec.generate_private_key, ec.SECP384R1()),
        "P-521": (ec.generate_private_key, ec.SECP521R1()),
        "RSA": (rsa.generate_private_key, 65537, 2048),
        "Ed25519": (ed25519.Ed25519PrivateKey.generate,),
        "secp256k1": (ec.generate_private_key, ec.SECP256K1()),
    }


def key_of(kind):
    make, *arguments = keys()[kind]
    return make(*arguments)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA", "Ed25519"])
def test_a_key_of_each_kind_signs(kind, c2pa, tmp_path):
    chain = Chain(tmp_path, key_of(kind))
    signed = Signer(chain.certificate, chain.key).sign(still(), MODEL)
    assert signed.reason is None
    assert "Valid" == read(c2pa, signed.data, "image/png")[0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"begins": -5, "ends": -1}, "expired on 20", id="expired"),
        pytest.param({"begins": 1, "ends": 5}, "is not valid before 20", id="not valid yet"),
        pytest.param({"purpose": "server"}, "cannot sign: the certificate is invalid", id="for servers"),
    ],
)
def test_a_certificate_that_cannot_sign_is_one_error(options, problem, c2pa, tmp_path):
    chain = Chain(tmp_path, **options)
    with pytest.raises(ConfigError) as caught:
        Signer(chain.certificate, chain.key)
    assert problem in caught.value.message
    assert repr(str(chain.certificate)) in caught.value.message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param("another's key", "is not the key of the first certificate in", id="another's key"),
        pytest.param("the wrong order", "is not the key of the first certificate in", id="the issuer first"),
        pytest.param("the issuer alone", "is not the key of the first certificate in", id="the issuer alone"),
        pytest.param("no certificate", "holds no PEM certificates", id="no certificate"),
        pytest.param("an empty file", "holds no PEM certificates", id="an empty certificate"),
        pytest.param("binary", "holds no PEM certificates", id="a binary certificate"),
        pytest.param("no key", "holds no PEM private key", id="no key"),
        pytest.param("a password", "has a password; give the key without one", id="a key with a password"),
        pytest.param("a rare key", "must be an RSA, Ed25519, P-256, P-384 or P-521 key", id="a key of a rare kind"),
    ],
)
def test_a_pair_that_cannot_sign_is_one_error_that_does_not_show_the_key(change, problem, c2pa, tmp_path):
    chain = Chain(tmp_path, key_of("secp256k1") if change == "a rare key" else None)
    mark = "-----BEGIN CERTIFICATE-----\n"
    own, issuer = chain.certificate.read_text().split(mark)[1:]
    match change:
        case "another's key":
            chain.key.write_bytes(pem_of(key_of("P-256")))
        case "the wrong order":
            chain.certificate.write_text(mark + issuer + mark + own)
        case "the issuer alone":
            chain.certificate.write_text(mark + issuer)
        case "no certificate" | "no key":
            (chain.key if change == "no key" else chain.certificate).write_text("hello")
        case "an empty file":
            chain.certificate.write_text("")
        case "binary":
            chain.certificate.write_bytes(b"\0\xff" * 40)
        case "a password":
            chain.key.write_bytes(pem_of(key_of("P-256"), b"secret"))
    with pytest.raises(ConfigError) as caught:
        Signer(chain.certificate, chain.key)
    assert problem in caught.value.message
    assert not any(line and line in str(caught.value) for line in chain.key.read_text().splitlines())


def test_a_signer_does_not_show_its_key(signer, chain):
    shown = f"{signer!r} {signer} {vars(signer)}"
    assert not any(line in shown for line in chain.key.read_text().splitlines())


# ── the signature ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_marked", [True, False], ids=["marked", "bare"])
@pytest.mark.parametrize(("kind", "mode"), SHAPES, ids=[" ".join(shape) for shape in SHAPES])
def test_a_signed_image_is_valid_and_its_pixels_and_other_parts_are_the_same(kind, mode, is_marked, c2pa, signer):
    plain = still(kind, mode)
    before = embed(plain, RECORD).data if is_marked else plain
    signed = signer.sign(before, MODEL)
    assert signed.reason is None
    assert decoded(before) == decoded(signed.data)
    assert is_signed_copy(signed.data, before)
    assert is_same_picture(plain, signed.data)
    assert extract(before) == extract(signed.data)
    state, manifest, failed = read(c2pa, signed.data, f"image/{kind.lower()}")
    # The authority of a test is on nobody's list.
    assert ("Valid", {"signingCredential.untrusted"}) == (state, failed)
    ((label, actions),) = ((each["label"], each["data"]["actions"]) for each in manifest["assertions"])
    assert "c2pa.actions.v2" == label
    agent = {"name": f"cometflux with {MODEL}", "version": manifest["claim_generator_info"][0]["version"]}
    assert [{"action": "c2pa.created", "digitalSourceType": GENERATED, "softwareAgent": agent}] == actions
    assert "cometflux" == manifest["claim_generator_info"][0]["name"]
    assert "a photographer" == manifest["signature_info"]["common_name"]
    assert "thumbnail" not in manifest


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_change_of_one_byte_is_found_by_the_reader(kind, c2pa, signer):
    data = bytearray(signer.sign(still(kind, size=(64, 64)), MODEL).data)
    # In a WebP the pixels come first.
    data[200 if kind == "WEBP" else -200] ^= 1
    assert "Invalid" == read(c2pa, bytes(data), f"image/{kind.lower()}")[0]


def test_two_signatures_of_one_image_differ(signer):
    one, other = (signer.sign(still()).data for _ in range(2))
    assert one != other
    assert is_same_picture(one, other)


def test_many_threads_sign_with_one_signer(c2pa, signer):
    with ThreadPoolExecutor(8) as pool:
        signed = list(pool.map(lambda kind: (kind, signer.sign(still(kind), MODEL).data), ["PNG", "JPEG", "WEBP"] * 16))
    assert {"Valid"} == {read(c2pa, data, f"image/{kind.lower()}")[0] for kind, data in signed}
    assert 48 == len({data for _, data in signed})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(lambda: still("GIF", "P"), "only PNG, JPEG and WebP are signed", id="a GIF"),
        pytest.param(lambda: b"<html>", "only PNG, JPEG and WebP are signed", id="a page"),
        pytest.param(lambda: still() + bytes(2**25), "it is larger than 32 MiB", id="large"),
        pytest.param(lambda: still()[:50], "its chunks do not add up", id="cut"),
        *(
            pytest.param(
                lambda kind=kind: add_signature(still(kind)), "it came with a C2PA signature, which is kept", id=kind
            )
            for kind in ("PNG", "JPEG", "WEBP")
        ),
    ],
)
def test_an_image_that_cannot_be_signed_is_returned_as_it_is_with_the_reason(data, reason, signer):
    data = data()
    for count in (1, 2):
        signed = signer.sign(data, MODEL)
        assert (data, reason, {"not_signed": reason}) == (signed.data, signed.reason, signed.note)
        assert {reason: count} == signer.unsigned


def test_any_cut_or_changed_image_is_signed_or_returned_as_it_is(c2pa, signer):
    dice = random.Random(5)
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = still(kind)
        for _ in range(60):
            data = bytearray(whole[: dice.randrange(len(whole))] if dice.random() < 0.3 else whole)
            for _ in range(dice.randrange(3)):
                data[dice.randrange(len(data) or 1) :][:1] = b""
                if data:
                    data[dice.randrange(len(data))] = dice.randrange(256)
            signed = signer.sign(bytes(data))
            if signed.reason is None:
                assert is_signed_copy(signed.data, bytes(data))
            else:
                assert bytes(data) == signed.data


# ── timestamps ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_signature_has_the_time_of_the_authority(c2pa, chain, tmp_path):
    with timestamp_authority(tmp_path / "authority") as authority:
        signer = Signer(chain.certificate, chain.key, timestamp_url=authority.url)
        signed = signer.sign(still(), MODEL)
        assert signed.reason is None
        # One for the proof, one for the image.
        assert 2 == len(authority.requests)
    state, manifest, _ = read(c2pa, signed.data, "image/png")
    assert "Valid" == state
    assert manifest["signature_info"]["time"].startswith("20")


def test_an_authority_that_does_not_respond_is_one_error_before_anything_is_paid_for(chain, tmp_path):
    with timestamp_authority(tmp_path / "authority", lasts=0) as authority:
        with pytest.raises(ConfigError, match=r"cannot sign with timestamps of http://127\.0\.0\.1"):
            Signer(chain.certificate, chain.key, timestamp_url=authority.url)


# ── while saving ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def make(service, signer, folder, *jobs, **options):
    async with open_session(
        api_key=service.key, base_url=service.url, sign=signer, journal=folder, **options
    ) as session:
        return [outcome async for outcome in session.generate(jobs, save_to=folder)]


def told(path):
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("embeds", [True, False], ids=["embedding", "not embedding"])
@pytest.mark.parametrize("form", TYPES)
async def test_a_session_signs_what_it_saves_and_knows_it_again(form, embeds, c2pa, signer, service, tmp_path):
    job = Job(model="black-forest-labs/flux-schnell", input={"prompt": "a boat", "output_format": form})
    (outcome,) = await make(service, signer, tmp_path / "out", job, embed=embeds)
    (path,) = outcome.files
    state, manifest, _ = read(c2pa, path.read_bytes(), TYPES[form])
    assert "Valid" == state
    agent = manifest["assertions"][0]["data"]["actions"][0]["softwareAgent"]["name"]
    assert "cometflux with black-forest-labs/flux-schnell" == agent
    assert embeds == (extract(path.read_bytes()) is not None)
    assert "signed" == told(path)["mark"]
    (again,) = await make(service, signer, tmp_path / "out", job, embed=embeds)
    assert again.resumed
    assert outcome.files == again.files
    assert 1 == len(service.bills)


async def test_a_signed_image_that_was_removed_is_fetched_and_signed_again_and_not_paid_for(
    c2pa, signer, service, tmp_path
):
    job = flux.Schnell(prompt="a boat", seed=7)
    (first,) = await make(service, signer, tmp_path / "out", job)
    first.files[0].unlink()
    for _ in range(2):
        (again,) = await make(service, signer, tmp_path / "out", job)
        assert again.ok
        assert f"{first.files[0].stem}+1.webp" == again.files[0].name
        assert "Valid" == read(c2pa, again.files[0].read_bytes(), "image/webp")[0]
    assert 1 == len(service.bills)
    assert 3 == len(list((tmp_path / "out").glob("0*")))


@pytest.mark.realtime
async def test_a_signer_that_fails_in_mid_run_loses_no_picture(c2pa, chain, tmp_path):
    with timestamp_authority(tmp_path / "authority", lasts=1) as authority:
        signer = Signer(chain.certificate, chain.key, timestamp_url=authority.url)
        with LocalService.in_thread(latency=0.01, pixels=1024) as service:
            outcomes = await make(service, signer, tmp_path / "out", "a fox", "an owl")
    assert [True, True] == [outcome.ok for outcome in outcomes]
    (reason,) = {told(outcome.files[0])["not_signed"] for outcome in outcomes}
    assert reason.startswith("signing failed: ")
    assert {"bare"} == {told(outcome.files[0])["mark"] for outcome in outcomes}
    assert {reason: 2} == signer.unsigned


async def test_signing_and_workers_exclude_each_other(signer, service):
    with pytest.raises(ConfigError, match="the private key stays in this process"):
        open_session(api_key=service.key, base_url=service.url, sign=signer, savers=SimpleNamespace(caught_up=None))
