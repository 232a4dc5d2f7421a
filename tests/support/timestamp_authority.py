"""A timestamp authority (RFC 3161) on this machine, by the command openssl."""

import contextlib
import http.server
import shutil
import subprocess
import threading

import pytest
from signing import Chain

_SETTINGS = """
[tsa]
default_tsa = own
[own]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
"""


@contextlib.contextmanager
def timestamp_authority(folder, lasts=100):
    """Yield a server whose ``url`` gives timestamps to the first ``lasts`` of its ``requests``."""
    if shutil.which("openssl") is None:
        pytest.skip("timestamps are made with the command openssl, which this machine lacks")
    folder.mkdir()
    Chain(folder, purpose="timestamps")
    (folder / "settings").write_text(_SETTINGS)
    (folder / "serial").write_text("01\n")
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.folder, server.lasts, server.requests = folder, lasts, []
        server.url = f"http://127.0.0.1:{server.server_port}/stamps"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(body)
        is_well = len(self.server.requests) <= self.server.lasts
        stamp = _stamp(self.server.folder, body) if is_well else b"<p>out of order"
        self.send_response(200 if is_well else 503)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(stamp)))
        self.end_headers()
        self.wfile.write(stamp)

    def log_message(self, *_):
        pass


def _stamp(folder, query):
    (folder / "query").write_bytes(query)
    signer = ("-signer", "chain.pem", "-inkey", "key.pem", "-chain", "chain.pem")
    command = ["openssl", "ts", "-reply", "-config", "settings", "-queryfile", "query", *signer, "-out", "reply"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return (folder / "reply").read_bytes()
