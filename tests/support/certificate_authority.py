"""A throwaway certificate authority for tests over TLS, made with the machine's openssl."""

import shutil
import ssl
import subprocess

import pytest

_SETTINGS = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs certificates for local servers, and keeps its files in *folder*."""

    def __init__(self, folder):
        if shutil.which("openssl") is None:
            pytest.skip("certificates are made with the command openssl, which this machine lacks")
        self._folder = folder
        self._settings("IP:127.0.0.1")
        made = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a throwaway authority", "-days", "2")
        self._openssl("req", "-x509", "-config", "settings", "-extensions", "authority", *_KEY, *made)

    def client(self):
        """Create a context that trusts only this authority."""
        return ssl.create_default_context(cafile=self._folder / "ca.pem")

    def server(self, names="IP:127.0.0.1"):
        """Create a context with a certificate for *names*."""
        self._settings(names)
        self._openssl(
            *("req", "-new", "-config", "settings", *_KEY),
            *("-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=a server"),
        )
        self._openssl(
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", "server.pem", "-days", "2", "-extfile", "settings", "-extensions", "server"),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        return context

    def _settings(self, names):
        (self._folder / "settings").write_text(_SETTINGS.format(names=names))

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
