"""Who may do what: the token of the two actions, and the headers of every answer.

The token is compared in constant time, is held as a digest, and after some wrong ones no more from
that address are looked at for a while. It comes in a header: never in an address, which logs would
keep.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_VARIABLE = "HARMONY_MONITOR_TOKEN"  # noqa: S105 - the variable's name
TOKEN_HEADER = "x-harmony-token"  # noqa: S105 - the header's name
_SHORTEST = 12
_MOST_WRONG, _WITHIN_SECONDS = 5, 60.0
_MOST_ADDRESSES = 1_000

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def token_of(environment: Mapping[str, str] = os.environ) -> tuple[str, bool]:
    """The token, and whether it was made just now. Raises ValueError for one that is too short."""
    given = environment.get(TOKEN_VARIABLE, "").strip()
    if not given:
        return secrets.token_urlsafe(18), True
    if len(given) < _SHORTEST:
        raise ValueError(f"{TOKEN_VARIABLE} is shorter than {_SHORTEST} characters: choose another")
    return given, False


class TokenCheck:
    """Knows the token without keeping it."""

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._digest = _digest(token)
        self._clock = clock
        self._wrong: dict[str, deque[float]] = {}

    def is_locked(self, address: str) -> bool:
        """Whether too many wrong tokens came from there lately. Others are not locked out."""
        wrong = self._wrong.get(address)
        if wrong is None or len(wrong) < _MOST_WRONG:
            return False
        return self._clock() - wrong[0] < _WITHIN_SECONDS

    def allows(self, given: str, address: str) -> bool:
        """Whether it is the token; a wrong one is counted."""
        right = hmac.compare_digest(_digest(given), self._digest)
        if not right:
            if len(self._wrong) >= _MOST_ADDRESSES:
                self._wrong.clear()
            wrong = self._wrong.setdefault(address, deque(maxlen=_MOST_WRONG))
            wrong.append(self._clock())
        return right


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class StrictHeaders:
    """Puts `HEADERS` on every answer of the application below."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._raw = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._raw]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
