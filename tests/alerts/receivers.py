"""A real HTTP server and a real SMTP server on loopback, which keep what they receive."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Hook:
    """Answers with the statuses of `answers`, one a request, then 200."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    got: list[tuple[str, Any]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)


@contextmanager
def hook() -> Iterator[Hook]:
    kept = Hook()
    kept.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.gate.wait(10)
            status, headers = kept.answers.pop(0) if kept.answers else (200, {})
            kept.got.append((self.path, body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        kept.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path) -> Path:
    """A certificate and key of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return path


@dataclass
class Mailbox:
    port: int = 0
    lines: list[str] = field(default_factory=list)  # commands, after STARTTLS marked by "tls "
    messages: list[str] = field(default_factory=list)
    refuse: list[str] = field(default_factory=list)  # answers to MAIL, one a message


@contextmanager
def mailbox(pem: Path) -> Iterator[Mailbox]:
    """Speaks SMTP with STARTTLS and AUTH PLAIN, one connection at a time."""
    kept = Mailbox()
    listener = socket.create_server(("127.0.0.1", 0))
    kept.port = listener.getsockname()[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError, ValueError):  # whoever called has hung up
                _speak(connection, context, kept)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _speak(connection: socket.socket, context: ssl.SSLContext, kept: Mailbox) -> None:
    connection.settimeout(5)
    file = connection.makefile("rwb")

    def say(text: str) -> None:
        file.write(text.encode() + b"\r\n")
        file.flush()

    secure = ""
    say("220 ready")
    while line := file.readline().decode().strip():
        kept.lines.append(secure + line)
        verb = line.upper().split()[0]
        if verb == "EHLO":
            say(
                "250-here\r\n250-AUTH PLAIN\r\n250 8BITMIME"
                if secure
                else "250-here\r\n250 STARTTLS"
            )
        elif verb == "STARTTLS":
            say("220 go on")
            file.close()
            connection = context.wrap_socket(connection, server_side=True)
            file, secure = connection.makefile("rwb"), "tls "
        elif verb == "AUTH":
            say("235 welcome")
        elif verb == "MAIL" and kept.refuse:
            say(kept.refuse.pop(0))
        elif verb == "DATA":
            say("354 go on")
            text = b""
            while not text.endswith(b"\r\n.\r\n"):
                text += file.readline()
            kept.messages.append(text.decode())
            say("250 kept")
        elif verb == "QUIT":
            say("221 bye")
            break
        else:
            say("250 ok")
    file.close()
    connection.close()
