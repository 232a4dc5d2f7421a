"""A real S3 server, behind a proxy with faults on demand.

The server is moto. It keeps the objects and refuses a create-only put of an existing object. The proxy forwards each
request unchanged, or applies the next planned fault to it.
"""

import contextlib
import functools
import http.client
import logging
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR

import attrs
import obstore
from obstore.store import S3Store
from waiting import PATIENCE, wait_until

NAME = "pictures"
KEY_ID = "AKIACANARY00000000ID"
SECRET = "canary/secret/of/the/object/store/42"


@attrs.frozen
class Fault:
    """A fault for requests with a given method and path."""

    what: str
    """``lost``: done, but the response is lost; ``cut``: not done, and the connection cut; ``slow``: done, with a late
    response; else the status and code of a response."""
    method: str = "PUT"
    part: str = ""
    """A part of the path of its requests."""
    who: str = ""
    """The access key of its requests; empty for any."""
    wait: float = 0.0


def _signature(headers):
    return next((value for name, value in headers.items() if name.lower() == "authorization"), "")


class Proxy(BaseHTTPRequestHandler):
    """One connection through the proxy."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet, because a second one would wait for the acknowledgement of the first.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _serve(self):
        with self.server.bucket.counting():
            self._serve_one()

    def _serve_one(self):
        shop = self.server.bucket
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = shop.receive(self.command, self.path, dict(self.headers))
        if fault is not None and fault.what == "slow":
            time.sleep(fault.wait)
        elif fault is not None and fault.what != "lost":
            self._fail(fault)
            return
        if shop.contradicts is not None and self._contradict(shop):
            return
        if self.command == "PUT" and shop.loses(self.path):
            self._answer(200, {"ETag": '"a"'}, b"")
            return
        if "hollow" in shop.habits and self.command == "PUT":
            body = bytes(len(body))
        if "google" in shop.habits:
            self._speak_google()
        if "careless" in shop.habits:
            del self.headers["If-None-Match"]
        status, headers, data = self._hand_on(body)
        if "google" in shop.habits:
            headers = {re.sub("(?i)x-amz-meta-", "x-goog-meta-", name): value for name, value in headers.items()}
        if "forgetful" in shop.habits:
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("x-amz-meta")}
        if fault is not None and fault.what == "lost":
            self._cut()
            return
        self._answer(status, headers, data)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

    def _contradict(self, shop):
        """Refuse a put as taken, and say from then on that the object is there, but not what is in it."""
        if self.command == "PUT" and re.search(shop.contradicts, self.path):
            shop.denied.add(self.path)
            self._fail(Fault("412 PreconditionFailed"))
        elif self.command == "HEAD" and self.path in shop.denied:
            self._answer(
                200, {"Content-Length": "7", "Last-Modified": "Sat, 28 Nov 2026 16:00:00 GMT", "ETag": '"a"'}, b""
            )
        else:
            return False
        return True

    def _speak_google(self):
        """Convert a request for Google Cloud Storage to one for S3. The two differ in the names of headers."""
        for name, value in self.headers.items():
            if name.lower().startswith("x-goog-meta-"):
                self.headers[f"x-amz-meta-{name[12:]}"] = value
        if self.headers.get("x-goog-if-generation-match") == "0":
            self.headers["If-None-Match"] = "*"
        # moto reads the identity, but does not verify it.
        who = "Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
        del self.headers["Authorization"]
        self.headers["Authorization"] = f"AWS4-HMAC-SHA256 {who}"

    def _fail(self, fault):
        if fault.what == "cut":
            self._cut()
            return
        status, _, code = fault.what.partition(" ")
        said = f"<Error><Code>{code}</Code><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId></Error>" if code else ""
        self._answer(int(status), {}, said.encode())

    def _cut(self):
        self.close_connection = True
        self.connection.shutdown(SHUT_RDWR)

    def _hand_on(self, body):
        connection = http.client.HTTPConnection(*self.server.bucket.behind, timeout=PATIENCE)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _answer(self, status, headers, data):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "server", "date"):
                self.send_header(name, value)
        length = headers.get("Content-Length", len(data)) if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Door(ThreadingHTTPServer):
    """The proxy. It ignores connections that a client breaks off."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


class Bucket:
    """A bucket of the server, reached through the proxy."""

    def __init__(self):
        self.requests = []
        """The requests received, as method and path."""
        self.headers = []
        self.habits = set()
        """``careless``: a create-only put replaces an object; ``forgetful``: metadata are not returned; ``google``: the
        headers are those of Google Cloud Storage; ``losing``: a put is answered, and nothing is kept; ``losing
        pictures``: the same for all but the small files of a proof; ``hollow``: an object keeps its size alone."""
        self.contradicts = None
        """A pattern: a put to such a path is refused as taken, and only then the object is said to be there."""
        self.denied = set()
        self._faults = []
        self._lock = threading.Lock()
        self._under_way = 0

    def __enter__(self):
        # This takes half a second, which other tests should not wait for.
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.behind = self._server.get_host_and_port()
        self._door = Door(("127.0.0.1", 0), Proxy)
        self._door.bucket = self
        self._thread = threading.Thread(target=self._door.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._door.shutdown()
        self._door.server_close()
        self._server.stop()

    @property
    def url(self):
        """The URL of the proxy."""
        return f"http://127.0.0.1:{self._door.server_port}"

    @property
    def environment(self):
        """The environment variables by which a program finds the bucket."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    @contextlib.contextmanager
    def counting(self):
        """Count a request as long as it is served."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def reset(self):
        """Delete everything, and create the bucket again."""
        sys.audit("s3_server.Bucket")
        # A put whose client has left may still be done.
        wait_until(lambda: not self._under_way)
        with self._lock:
            self._faults.clear()
        self.habits.clear()
        self.contradicts = None
        self.denied.clear()
        for method, path in (("POST", "/moto-api/reset"), ("PUT", f"/{NAME}")):
            connection = http.client.HTTPConnection(*self.behind, timeout=PATIENCE)
            connection.request(method, path)
            assert connection.getresponse().status == 200
            connection.close()
        self.requests.clear()
        self.headers.clear()

    def fail(self, what, times=1, **options):
        """Fail the next *times* requests of a kind."""
        with self._lock:
            self._faults += [Fault(what, **options)] * times

    def mend(self):
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def receive(self, method, path, headers):
        """Note a request, and take the next fault for it; None if there is none planned."""
        with self._lock:
            self.requests.append((method, path))
            self.headers.append(headers)
            for fault in self._faults:
                if fault.method == method and fault.part in path and fault.who in _signature(headers):
                    self._faults.remove(fault)
                    return fault
        return None

    @functools.cached_property
    def store(self):
        """The bucket itself, without the proxy."""
        # To make one takes 15 ms.
        host, port = self.behind
        return S3Store(
            NAME,
            access_key_id="x",
            secret_access_key="x",
            endpoint=f"http://{host}:{port}",
            client_options={"allow_http": True},
        )

    def names(self):
        """The names of the objects in the bucket."""
        return sorted(each["path"] for page in obstore.list(self.store, chunk_size=1000) for each in page)

    def read(self, name):
        return bytes(obstore.get(self.store, name).bytes())

    def put(self, name, data, **attributes):
        obstore.put(self.store, name, data, attributes=attributes)

    def count(self, method, part=""):
        return sum(asked == method and part in path for asked, path in self.requests)

    def requests_of(self, who):
        """The requests signed with an access key, as method and path."""
        signed = zip(self.requests, self.headers, strict=False)
        return [request for request, head in signed if f"Credential={who}/" in _signature(head)]

    def sent(self, part=""):
        """The bytes of all puts to a kind of path."""
        requests = zip(self.requests, self.headers, strict=True)
        return sum(int(head["content-length"]) for (method, path), head in requests if method == "PUT" and part in path)

    def loses(self, path):
        """Whether a put to this path is answered and not kept."""
        return "losing" in self.habits or ("losing pictures" in self.habits and "/.cometflux-" not in path)

    def wait_for(self, count, method, part):
        """Wait until *count* requests of a kind were received."""
        wait_until(lambda: self.count(method, part) >= count)

    def remove(self, name):
        obstore.delete(self.store, name)
