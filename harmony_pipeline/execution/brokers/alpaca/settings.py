"""Where Alpaca is, and how it is talked to. The keys are never settings (`keys.py`)."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from harmony_pipeline.settings_base import FrozenSettings

PAPER, LIVE = "https://paper-api.alpaca.markets", "https://api.alpaca.markets"
_LIVE_HOSTS = frozenset({"api.alpaca.markets"})


class AlpacaSettings(FrozenSettings):
    """The account of a session with `session.broker = "alpaca"`. Each address may be any stand-in,
    such as the exchange of `harmony exchange`; HARMONY_ALPACA__TRADING_URL and the like set them.
    """

    trading_url: str = Field(PAPER, description="account, orders, positions, clock")
    data_url: str = Field("https://data.alpaca.markets", description="bars, for gaps")
    trading_stream_url: str | None = Field(
        None, description="order updates; none: wss://HOST/stream of trading_url"
    )
    data_stream_url: str | None = Field(
        None,
        description=(
            "bars as they end; none: wss://stream.data.alpaca.markets/v2/FEED, of coins"
            " /v1beta3/crypto/us"
        ),
    )
    feed: Literal["iex", "sip"] = "iex"
    live: bool = Field(False, description="the first of two settings that real money needs")
    live_account: str | None = Field(
        None, description="the second: the number of the account that may be traded with real money"
    )
    requests_per_minute: int = Field(180, ge=1, description="of trading REST; Alpaca allows 200")
    timeout_seconds: float = Field(
        10.0, gt=0.0, description="silence after which an answer is lost"
    )
    attempts: int = Field(4, ge=1, description="times that a question is asked")
    wait_seconds: float = Field(0.5, gt=0.0, description="before a question is asked again")
    poll_seconds: float = Field(
        5.0, gt=0.0, description="orders are compared by REST so often while any works"
    )
    reconnect_seconds: float = Field(
        2.0, gt=0.0, description="first wait before a cut stream is opened again; doubles"
    )
    longest_reconnect_seconds: float = Field(
        60.0, gt=0.0, description="longer than a cut session's slot is held"
    )
    clock_seconds: float = Field(2.0, gt=0.0, description="age at which the clock is read again")
    gather_seconds: float = Field(
        0.1, gt=0.0, description="a minute is whole when no bar of it came for so long"
    )
    quiet_seconds: float = Field(
        0.5, gt=0.0, description="silence between bars after which news of orders is taken in"
    )
    coin_stop_limit_bps: float = Field(
        100.0,
        gt=0.0,
        lt=10_000.0,
        description="coins have no stop orders: the limit of a stop-limit lies so far behind it",
    )
    lookback_days: int = Field(
        4, ge=1, description="how far back ended orders are read when a process starts"
    )

    @model_validator(mode="after")
    def _check_addresses(self) -> Self:
        for name, schemes in (
            ("trading_url", ("http", "https")),
            ("data_url", ("http", "https")),
            ("trading_stream_url", ("ws", "wss")),
            ("data_stream_url", ("ws", "wss")),
        ):
            url = getattr(self, name)
            if url is None:
                continue
            parts = urlsplit(url)
            if parts.scheme not in schemes or not parts.hostname:
                raise ValueError(f"{name}: {url} is no address that begins with {schemes[0]}://")
            if parts.username or parts.password or parts.query:
                raise ValueError(f"{name}: an address holds no keys: take them out")
            if schemes[0] == "http" and (url.endswith(("/", "/v2"))):
                raise ValueError(f"{name}: take the slash, or /v2, off the end of {url}")
        if self.is_live_address and not (self.live and self.live_account):
            raise ValueError(
                "trading_url: this is the live address, where orders cost real money; use"
                f" {PAPER}, or set both alpaca.live = true and alpaca.live_account to the number of"
                " the account"
            )
        return self

    @property
    def is_live_address(self) -> bool:
        """Whether orders would go to Alpaca's live account."""
        urls = (self.trading_url, self.trading_stream_url or "")
        return any(urlsplit(url).hostname in _LIVE_HOSTS for url in urls)

    @property
    def order_stream(self) -> str:
        """Whole address of the account stream."""
        if self.trading_stream_url is not None:
            return self.trading_stream_url
        return f"{self.trading_url.replace('http', 'ws', 1)}/stream"
