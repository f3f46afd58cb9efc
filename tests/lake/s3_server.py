"""A local S3 server for tests: moto's, with one request at a time.

S3 makes each conditional put atomic. Moto looks at the condition and then puts, and its server
answers requests side by side, so two puts that exclude each other could both succeed there; taking
turns gives what the real service promises.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

BUCKET, KEY, SECRET = "lake", "AKIATESTKEY", "topsecretvalue"


@contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of a server with one empty bucket."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # the application of S3 itself: the one that finds the service lists moto's folder every time
    answer, turn = create_backend_app("s3"), threading.Lock()

    def one_at_a_time(environment, start):
        with turn:
            return list(answer(environment, start))

    server = make_server(
        "127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        urlopen(Request(f"{endpoint}/{BUCKET}", method="PUT")).close()
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def s3_environment() -> Iterator[str]:
    """A server, and the environment through which every client finds it."""
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }.items():
            patch.setenv(name, value)
        yield endpoint
