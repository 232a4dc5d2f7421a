"""Certificates for tests, and a signer that needs none: its signature is a part of random bytes."""

import datetime
import os
import struct
import zlib

from cometflux.images import formats
from cometflux.provenance.signing import Signed


class PartSigner:
    """Adds what a reader takes for a C2PA signature, each time another one; or says that it cannot."""

    def __init__(self, reason=None):
        self._reason = reason

    def sign(self, data, model=None):
        if self._reason is not None:
            return Signed(data=data, reason=self._reason)
        return Signed(data=add_signature(data))


def add_signature(data, body=None):
    """Return a PNG, JPEG or WebP with a part of the kind that holds C2PA signatures."""
    body = b"jumb" + (os.urandom(16) if body is None else body)
    match formats.media_type(data):
        case "image/png":
            chunk = b"caBX" + body
            made = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
            return data[:33] + made + data[33:]
        case "image/jpeg":
            body = b"JP\0\1\0\0\0\1\0\0\0\x20" + body
            return data[:20] + b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body + data[20:]
        case _:
            body = data[12:] + b"C2PA" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
            return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


class Chain:
    """A certificate and the one that issued it, in *folder*: ``chain.pem`` and ``key.pem``."""

    def __init__(self, folder, key=None, *, begins=-1.0, ends=30.0, purpose="email", password=None):
        from cryptography.hazmat.primitives.asymmetric import ec

        self.certificate, self.key = folder / "chain.pem", folder / "key.pem"
        issuer, key = ec.generate_private_key(ec.SECP256R1()), key or ec.generate_private_key(ec.SECP256R1())
        days = [datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=each) for each in (begins, ends)]
        own = _certificate("a photographer", key.public_key(), issuer, days, purpose)
        root = _certificate("an authority", issuer.public_key(), issuer, days, None)
        self.certificate.write_bytes(own + root)
        self.key.write_bytes(pem_of(key, password))


def pem_of(key, password=None):
    """Return a private key as PEM text."""
    from cryptography.hazmat.primitives import serialization

    hiding = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    is_old = hasattr(key, "curve") or hasattr(key, "key_size")
    form = serialization.PrivateFormat.TraditionalOpenSSL if is_old else serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, hiding)


def _certificate(subject, public, issuer, days, purpose):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    is_root = purpose is None
    uses = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    signs = {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root, "decipher_only": False}
    purposes = {
        "email": ExtendedKeyUsageOID.EMAIL_PROTECTION,
        "server": ExtendedKeyUsageOID.SERVER_AUTH,
        "timestamps": ExtendedKeyUsageOID.TIME_STAMPING,
    }

    def name(text):
        whose = {NameOID.COMMON_NAME: text, NameOID.ORGANIZATION_NAME: "a test"}
        return x509.Name([x509.NameAttribute(part, value) for part, value in whose.items()])

    made = (
        x509.CertificateBuilder(name("an authority"), name(subject), public, x509.random_serial_number(), *days)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**uses, **signs), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )
    if not is_root:
        made = made.add_extension(x509.ExtendedKeyUsage([purposes[purpose]]), critical=purpose == "timestamps")
    return made.sign(issuer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
