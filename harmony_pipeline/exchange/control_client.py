"""Requests to an exchange in another process: its control addresses (`control.py`), and trading.

exchange = ExchangeClient("http://127.0.0.1:8090", keys)
exchange.step(2)
exchange.ask("GET", "/control/ledger")
"""

import json
import urllib.error
import urllib.request
from typing import Any

from harmony_pipeline.errors import HarmonyError

_SECONDS = 30.0


class ExchangeClient:
    """An exchange on loopback. `keys`: key and secret, which trading asks for."""

    def __init__(self, url: str, keys: tuple[str, str] = ("", "")) -> None:
        self.url, self._keys = url, keys

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; its JSON. Raises HarmonyError when nobody answers."""
        request = urllib.request.Request(  # noqa: S310 - its own loopback address
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"apca-api-key-id": self._keys[0], "apca-api-secret-key": self._keys[1]},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except (OSError, urllib.error.URLError) as error:
            raise HarmonyError(f"the exchange does not answer {path}: {error}") from error

    def status(self) -> dict[str, Any]:
        """`/control/status`."""
        found: dict[str, Any] = self.ask("GET", "/control/status")
        return found

    def step(self, events: int = 1, *, hold_bars: bool = False) -> dict[str, Any]:
        """Let events happen; the status after them. `hold_bars`: the next step sends their bars."""
        asked = {"events": events, "hold_bars": hold_bars}
        found: dict[str, Any] = self.ask("POST", "/control/step", asked)
        return found
