"""A real S3 server (moto) on loopback that counts requests and, told to, is slow, busy or loses answers."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"


@dataclass
class S3Server:
    """What was asked (method, path), and how it is answered."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    answer: Callable[[str, str], int | None] = lambda method, path: None
    """An HTTP status to answer with, without doing anything; None to do as asked."""
    lose: Callable[[str, str], bool] = lambda method, path: False
    """Whether to do as asked and then answer 500."""
    conditional: bool = True
    """Whether If-None-Match and If-Match are heeded, as they are in S3."""
    delay: float = 0.0
    """Seconds before each answer."""

    def asked(self, method: str, path: str = "") -> list[str]:
        """Paths asked for with a method, that contain `path`; not the listings."""
        return [p for m, p in self.requests if m == method and path in p and p.strip("/") != BUCKET]

    def calm(self) -> None:
        """Forget requests, answer as S3 does."""
        self.__init__()


class Quiet(WSGIRequestHandler):
    def log(self, *args: object) -> None:
        """Print nothing."""


@contextmanager
def serve_s3() -> Iterator[S3Server]:
    """Serve S3 with one empty bucket; environment variables (of child processes too) lead there.

    Requests are done one at a time, so that conditional writes are one step, as they are in S3.
    """
    told, one_at_a_time = S3Server(), threading.Lock()
    moto = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict, start: Callable) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        told.requests.append((method, path))
        time.sleep(told.delay)
        if (status := told.answer(method, path)) is not None:
            return _refuse(status, environ, start)
        with one_at_a_time:
            if told.lose(method, path):
                b"".join(moto(environ, lambda *_: None))
                return _refuse(500, None, start)
            if not told.conditional:
                environ = {k: v for k, v in environ.items() if not k.startswith("HTTP_IF_")}
            return [b"".join(moto(environ, start))]

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "absent")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "absent")
        forget_connections()
        _forget_objects(server.server_port)
        objects().mkdir(BUCKET)
        try:
            yield told
        finally:
            forget_connections()
            server.shutdown()
            server.server_close()
            thread.join()


def objects():
    """The server's objects, as the library sees them."""
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


def forget_connections() -> None:
    """Let the next file system read the environment anew."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def _forget_objects(port: int) -> None:
    """Empty the server, whose objects live as long as this process."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/moto-api/reset")
    assert connection.getresponse().read() == b'{"status": "ok"}'
    connection.close()


def _refuse(status: int, unread: dict | None, start: Callable) -> Iterable[bytes]:
    if unread is not None:
        unread["wsgi.input"].read(int(unread.get("CONTENT_LENGTH") or 0))
    code = {403: "AccessDenied", 503: "SlowDown"}.get(status, "InternalError")
    start(f"{status} {code}", [("Content-Type", "application/xml")])
    if unread is not None and unread["REQUEST_METHOD"] == "HEAD":
        return []
    return [f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()]
