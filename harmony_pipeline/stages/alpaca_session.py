"""`session.broker = "alpaca"`: the connection of a session to an account at Alpaca, or to whatever
the addresses of `[alpaca]` name (`harmony exchange`).
"""

import os
import re
from datetime import timedelta
from pathlib import Path

import polars as pl

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.keys import read_keys
from harmony_pipeline.execution.coins import QUANTITY_STEP, is_pair
from harmony_pipeline.session.alpaca_bars import alpaca_bars, fees_of, quote_before
from harmony_pipeline.session.live_connection import LiveConnection
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import bars_of, day_start

_BEHIND = timedelta(days=30)
_OF_A_SESSION = re.compile(r"\d{4}-\d{2}-\d{2}-|[0-9a-f]{16}-")


def connect(settings: Settings, plan: SessionPlan) -> LiveConnection:
    """Broker, bars and clock of the plan's day. Raises ConfigError for keys, BrokerUnavailable."""
    check_pairs(plan)
    keys = read_keys(os.environ, (settings.folder, Path.cwd()))
    factors = opening_factors(PipelineContext(settings), plan)
    reference = quote_before(settings.alpaca, keys)
    broker = AlpacaBroker(settings.alpaca, keys, fees_of(plan), reference, _is_of_a_session)
    stream = alpaca_bars(settings.alpaca, keys, settings.market, plan, broker.clock, factors)
    return LiveConnection(broker, stream, broker.clock)


def _is_of_a_session(client_order_id: str) -> bool:
    """Whether a name is one that `session/plan.py` gives: it begins with a session, or its hash."""
    return _OF_A_SESSION.match(client_order_id) is not None


def check_pairs(plan: SessionPlan) -> None:
    """Raises ConfigError for coins that are not named as Alpaca names them, or that are counted in
    other steps than its own.
    """
    terms = [plan.rules.instruments.at(symbol, plan.date) for symbol in plan.symbols]
    for symbol, each in zip(plan.symbols, terms, strict=True):
        if each.asset_class == "crypto" and not is_pair(symbol):
            raise ConfigError(
                f"{symbol} is no pair as Alpaca names it, such as BTC/USD: name it so in the"
                " market's data"
            )
        lot = plan.rules.costs.lot_size or each.lot_size
        if is_pair(symbol) and lot != QUANTITY_STEP:
            raise ConfigError(
                f"{symbol} is counted in steps of {lot:g}, and Alpaca withholds fees in steps of"
                f" {QUANTITY_STEP:g}: set market.instruments.defaults.lot_size = {QUANTITY_STEP:g}"
            )


def opening_factors(pipeline: PipelineContext, plan: SessionPlan) -> dict[str, float]:
    """Adjustment factor of each symbol today: that of the lake's bars of the day where there are
    some, else the one before, moved by the day's splits and dividends (market/adjustments.py).
    """
    begin = day_start(pipeline, plan.date)
    known = pl.col("symbol").is_in(list(plan.symbols))
    before = (
        pipeline.lake.scan("bars", pipeline.overlapping(begin - _BEHIND, begin))
        .filter(known & (pl.col("timestamp") < begin))
        .sort("symbol", "timestamp")
        .group_by("symbol", maintain_order=True)
        .agg(pl.col("adjustment_factor").last(), pl.col("close").last())
        .collect(engine="in-memory")
    )
    factors = {symbol: float(factor) for symbol, factor, _ in before.iter_rows()}
    closes = {symbol: float(close) for symbol, _, close in before.iter_rows()}
    for action in plan.actions.filter(pl.col("date") == plan.date).iter_rows(named=True):
        symbol, value = action["symbol"], float(action["value"])
        if symbol not in factors or symbol not in plan.symbols:
            continue
        if action["kind"] == "split":
            factors[symbol] *= value
        elif closes[symbol] > value:
            factors[symbol] *= closes[symbol] / (closes[symbol] - value)
    today = bars_of(pipeline, plan.date).filter(known)
    first = today.group_by("symbol", maintain_order=True).agg(pl.col("adjustment_factor").first())
    return factors | {symbol: float(factor) for symbol, factor in first.iter_rows()}
