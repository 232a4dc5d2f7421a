"""Sign images with your own certificate, as C2PA content credentials. Needs the extra ``c2pa``.

A signature is one more part of the file. The other parts are not encoded again; each signing checks that they are the
same. If anything fails, the image is returned unsigned, because it is paid for and matters more than its signature.
"""

import io
import threading
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from cometflux.basics.regular_files import IrregularFileError, fault_words, read_regular
from cometflux.errors import ConfigError, needs_extra
from cometflux.images import formats
from cometflux.provenance import embed, image_parts
from cometflux.provenance.image_parts import UnsuitableError
from cometflux.provenance.xmp import GENERATED

_LARGEST_FILE = 1024 * 1024
"""More bytes than a chain of certificates or a private key has."""
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_SETTINGS = {
    # A thumbnail would be encoded anew, and may be larger than the image.
    "builder": {"thumbnail": {"enabled": False}},
    # Each signature is verified when it is made. For that nothing is fetched.
    "verify": {"verify_after_sign": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
}
_TINY = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080000000"
    "03a7e9b550000000a49444154789c63600000000200014898b4d30000000049454e44ae426082"
)
"""A PNG of one pixel."""


@attrs.frozen(kw_only=True)
class Signed:
    """The result of signing an image."""

    data: bytes
    reason: str | None = None
    """Why the image is unchanged; None if it is signed."""

    @property
    def note(self) -> dict[str, Any]:
        """The fields that the sidecar gets about the signing; none if the image is signed, as its mark says."""
        return {} if self.reason is None else {"not_signed": self.reason}


class Signer:
    """Signs images with your certificate when they are saved; pass it to `open_session` as ``sign``.

    Make it once; any number of sessions and threads may use it. The constructor blocks: it reads the two files, checks
    them, and signs an image of one pixel as a test. The private key stays in memory, and is shown nowhere.

    Args:
        certificate: a PEM file with the certificate, followed by the certificates of its issuers.
        private_key: a PEM file with the private key of the certificate, without a password.
        timestamp_url: a timestamp authority (RFC 3161), which receives a digest for each image. With a timestamp a
            signature stays valid after the certificate has expired. None for no timestamps.

    Raises:
        MissingExtraError: the extra ``c2pa`` is not installed.
        ConfigError: a file cannot be read, the key does not belong to the certificate, the certificate is not valid now
            or not for signing, or the timestamp authority does not respond correctly.
    """

    def __init__(self, certificate: str | Path, private_key: str | Path, *, timestamp_url: str | None = None) -> None:
        chain, secret = _read("certificate", certificate), _read("private_key", private_key)
        _check_url(timestamp_url)
        with needs_extra("signing", "c2pa", "c2pa", "cryptography"):
            import c2pa

            algorithm, secret = _check_pair(chain, secret, str(certificate), str(private_key))
        self._make_builder = c2pa.Builder
        self._agent = {"name": "cometflux", "version": version("cometflux")}
        self._lock = threading.Lock()
        self.unsigned: Counter[str] = Counter()
        """How many images could not be signed, by the reason."""
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, secret, timestamp_url))
            self._context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS), signer)
            self._add(_TINY, "image/png", None)
        except c2pa.C2paError as error:
            by = "" if timestamp_url is None else f" with timestamps of {timestamp_url}"
            message = f"the certificate {str(certificate)!r} cannot sign{by}: {_words(error)}"
            raise ConfigError(message, setting="certificate") from error

    def sign(self, data: bytes, model: str | None = None) -> Signed:
        """Sign an image that *model* generated. Never raises. Blocks; with timestamps it waits up to half a minute."""
        try:
            return Signed(data=self._sign(data, model))
        except UnsuitableError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a paid image is saved even if signing fails
            reason = f"signing failed: {_words(error)}"
        with self._lock:
            self.unsigned[reason] += 1
        return Signed(data=data, reason=reason)

    def _sign(self, data: bytes, model: str | None) -> bytes:
        if len(data) > embed.LARGEST_IMAGE:
            raise UnsuitableError(f"it is larger than {embed.LARGEST_IMAGE >> 20} MiB")
        kind = formats.media_type(data)
        if kind not in ("image/png", "image/jpeg", "image/webp"):
            raise UnsuitableError("only PNG, JPEG and WebP are signed")
        if any(part == image_parts.SIGNED for part, _, _ in image_parts.parts_of(data)):
            raise UnsuitableError("it came with a C2PA signature, which is kept")
        signed = self._add(data, kind, model)
        if not formats.is_whole(signed) or not embed.is_signed_copy(signed, data):
            raise UnsuitableError("its structure is unusual, and signing could have damaged it")
        return signed

    def _add(self, data: bytes, kind: str, model: str | None) -> bytes:
        agent = {**self._agent, "name": f"cometflux with {model}"} if model else self._agent
        created = {"action": "c2pa.created", "digitalSourceType": GENERATED, "softwareAgent": agent}
        assertion = {"label": "c2pa.actions.v2", "data": {"actions": [created]}}
        manifest = {"claim_generator_info": [self._agent], "assertions": [assertion]}
        signed = io.BytesIO()
        with self._make_builder(manifest, self._context) as builder:
            builder.sign(kind, io.BytesIO(data), signed)
        return signed.getvalue()


def _words(error: Exception) -> str:
    # The library's messages begin with the name of the error's kind.
    return str(error).partition(": ")[2] or str(error) or type(error).__name__


def _read(name: str, path: object) -> bytes:
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ConfigError(setting=name, given=path, allowed="must be the path of a PEM file")
    try:
        return read_regular(Path(path), _LARGEST_FILE, follows_links=True)
    except (IrregularFileError, IsADirectoryError) as error:
        raise ConfigError(setting=name, given=str(path), allowed="is not a file") from error
    except (OSError, ValueError) as error:
        allowed = f"cannot be read: {fault_words(path, error)}"
        raise ConfigError(setting=name, given=str(path), allowed=allowed) from error


def _check_url(url: object) -> None:
    allowed = "must be an http or https URL without a password"
    if url is None:
        return
    if not isinstance(url, str):
        raise ConfigError(setting="timestamp_url", given=url, allowed=allowed)
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        is_right = False
    if not is_right:
        # The URL is not shown: it may hold a password.
        raise ConfigError(setting="timestamp_url", allowed=allowed)


def _check_pair(chain: bytes, secret: bytes, certificate: str, key: str) -> tuple[str, bytes]:
    """Return the algorithm for a key and its certificate, and the key in the form that the library takes."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509 import load_pem_x509_certificates

    try:
        first, *_ = load_pem_x509_certificates(chain)
        public = first.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(setting="certificate", given=certificate, allowed="holds no PEM certificates") from error
    try:
        private = serialization.load_pem_private_key(secret, None)
    except TypeError as error:
        raise ConfigError(
            setting="private_key", given=key, allowed="has a password; give the key without one"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(setting="private_key", given=key, allowed="holds no PEM private key") from error
    if private.public_key() != public:
        allowed = f"is not the key of the first certificate in {certificate!r}"
        raise ConfigError(setting="private_key", given=key, allowed=allowed)
    _check_dates(first, certificate, datetime.now(UTC))
    algorithm = _algorithm_of(private)
    if algorithm is None:
        allowed = "must be an RSA, Ed25519, P-256, P-384 or P-521 key; C2PA allows no other"
        raise ConfigError(setting="private_key", given=key, allowed=allowed)
    form = serialization.PrivateFormat.PKCS8
    return algorithm, private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _check_dates(certificate: Any, name: str, now: datetime) -> None:
    for is_wrong, words, date in (
        (now < certificate.not_valid_before_utc, "is not valid before", certificate.not_valid_before_utc),
        (now > certificate.not_valid_after_utc, "expired on", certificate.not_valid_after_utc),
    ):
        if is_wrong:
            raise ConfigError(setting="certificate", given=name, allowed=f"{words} {date:%Y-%m-%d %H:%M} UTC")


def _algorithm_of(key: Any) -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match key:
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey():
            return "ps256"
        case ec.EllipticCurvePrivateKey():
            return _CURVES.get(key.curve.name)
        case _:
            return None
