"""The paper session."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.text import holds_password

Clock = Annotated[str, Field(pattern=r"^\d\d:\d\d$")]


class SessionSettings(FrozenSettings):
    """How the session of a trading day is run."""

    strategy: str = Field(
        "meta_labelled", description="what is traded; labels and models are of it"
    )
    portfolio: str = Field(
        "",
        description="an entry of [portfolios]: its strategies are traded on one account in place of"
        " session.strategy alone; empty: that one",
    )
    broker: str = Field(
        "simulated", description="simulated, alpaca, or an import path module:factory"
    )
    watch: Literal["scanner", "universe"] = Field("scanner", description="which symbols are traded")
    rescan_at: tuple[Clock, ...] = Field(
        (),
        description="exchange times at which the scanner chooses anew during the day, like"
        ' ["10:30", "12:00"]; with watch = "scanner"; empty: never',
    )
    replay_days: int = Field(5, ge=0, description="latest days that `harmony run` replays")
    heartbeat_seconds: float = Field(5.0, gt=0.0)
    hung_after_seconds: float = Field(
        120.0, gt=0.0, description="a running session that says nothing for so long sends an alert"
    )
    stale_after_seconds: float = Field(
        90.0, gt=0.0, description="a stream older than this is stale: REDUCING, then HALTED"
    )
    flatten_at_close: bool = Field(
        False, description="close every position before the session ends"
    )
    ledger: str = Field(
        "",
        description="URL of the PostgreSQL database that keeps the books, like"
        " postgresql://user@host/database; empty: ledger.sqlite in the state folder",
    )
    redis: str = Field(
        "",
        description="URL of a Redis that shows positions, open orders and the latest bars to other"
        " processes, like redis://host:6379/0; empty: none",
    )
    telemetry: str = Field(
        "",
        description="URL of an OpenTelemetry collector (OTLP over HTTP) that gets spans and metrics"
        " of the session, like http://host:4318; empty: none",
    )
    reconcile_seconds: float = Field(
        60.0, gt=0.0, description="how often ledger and broker are compared, in the venue's time"
    )
    unpaid_days: int = Field(
        60,
        ge=0,
        description="calendar days after its ex-date, or its split, from which on cash of a"
        " corporate action that the broker has not paid is written off; 0: the broker pays none",
    )
    strategy_seconds: float = Field(
        30.0,
        gt=0.0,
        description="a strategy of a portfolio that gives no answer to a moment for so long, in the"
        " venue's time or this machine's, is stopped, and the others go on",
    )
    demote_after_sessions: int = Field(
        3,
        ge=1,
        description="sessions over which the divergence of a model, or of a strategy of a"
        " portfolio, is judged",
    )
    maximum_divergence: float = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="share of rows that may differ from the backtest in each of those sessions"
        " before the model, or a strategy of a portfolio, trades no more",
    )
    readmit: dict[str, date] = Field(
        default={},
        description="strategy of a portfolio = date: what it differed before that is forgiven",
    )

    @field_validator("ledger", "redis", "telemetry")
    @classmethod
    def _no_password(cls, text: str) -> str:
        from urllib.parse import urlsplit

        if holds_password(text):
            raise ValueError(
                "the URL holds a password: give it in PGPASSWORD or ~/.pgpass, in REDIS_PASSWORD,"
                " or to a collector in OTEL_EXPORTER_OTLP_HEADERS"
            )
        try:
            urlsplit(text)
        except ValueError:
            raise ValueError("the URL cannot be read: write it as scheme://host/name") from None
        return text

    @field_validator("telemetry")
    @classmethod
    def _is_http(cls, text: str) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(text)
        if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("name a collector as http://host:4318 (OTLP over HTTP)")
        return text


NOT_OF_THE_BOOKS = (
    "ledger", "redis", "telemetry", "reconcile_seconds", "unpaid_days", "strategy_seconds",
    "demote_after_sessions", "maximum_divergence", "hung_after_seconds", "readmit",
)  # fmt: skip
"""Settings that change neither what a replayed session decides nor what its books say."""
