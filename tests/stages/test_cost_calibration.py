"""The asset cost_calibration over a lake: what counts as evidence, and what it says without any."""

import tomllib
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from harmony_pipeline import schemas
from harmony_pipeline.config import load_settings
from harmony_pipeline.execution.events import OrderAccepted, encode
from harmony_pipeline.stages.costs import cost_calibration
from harmony_pipeline.testing.tiny import tiny_market

DAY = date(2024, 1, 16)
OPEN = datetime(2024, 1, 16, 14, 30, tzinfo=UTC)
COUNT = 120


@pytest.fixture
def pipeline(tmp_path):
    """An empty lake with a day of minute bars and volatilities of one symbol."""
    found = tiny_market(tmp_path)
    own = np.random.default_rng(5)
    stamps = pl.Series([OPEN + timedelta(minutes=k) for k in range(COUNT)]).cast(schemas.TIME)
    key = found.trading_periods()[0].key
    bars = pl.DataFrame({"timestamp": stamps, "volume": own.integers(1_000, 90_000, COUNT) * 1.0})
    found.lake.write(
        "bars", key,
        bars.with_columns(
            symbol=pl.lit("AAA"), timeframe=pl.lit("1Min"), session=pl.lit("regular"), open=50.0,
            high=50.5, low=49.5, close=50.0, trade_count=pl.lit(None, pl.Float64),
            vwap=pl.lit(None, pl.Float64), adjustment_factor=1.0,
        ),
        {},
    )  # fmt: skip
    table = found.lake.tables["features"]
    features = pl.DataFrame({"symbol": "AAA", "timestamp": stamps}).with_columns(
        [pl.lit(None, dtype).alias(name) for name, dtype in table.dtypes.items() if name not in ("symbol", "timestamp")]
    ).with_columns(
        volatility_20=pl.Series(own.uniform(0.001, 0.004, COUNT)), cusum_event=pl.lit(0, table.dtypes["cusum_event"])
    )  # fmt: skip
    found.lake.write("features", key, features, {})
    return found


def write_fills(pipeline, broker_order_id, half_spread=3.0, impact=0.7):
    """One order a minute from the second on, filled at the planted costs and some noise."""
    own = np.random.default_rng(6)
    bars, features = pipeline.lake.read("bars"), pipeline.lake.read("features")
    volume = bars["volume"].to_numpy()[1:]
    volatility = features["volatility_20"].to_numpy()[:-1]
    quantity = np.floor(volume * own.uniform(0.001, 0.05, COUNT - 1)) + 1
    bps = half_spread + impact * 1e4 * volatility * np.sqrt(quantity / volume)
    bps += own.normal(0, 0.5, COUNT - 1)
    side = own.choice([-1, 1], COUNT - 1)
    ids = [f"o{k:03d}" for k in range(COUNT - 1)]
    fills = pl.DataFrame(
        {
            "session_id": "s", "date": [DAY] * (COUNT - 1), "client_order_id": ids, "fill_id": ids,
            "order_id": ids, "symbol": "AAA", "timestamp": bars["timestamp"][1:],
            "side": np.where(side > 0, "buy", "sell"), "quantity": quantity,
            "price": 50.0 * (1 + side * bps / 1e4), "reference_price": 50.0, "fee": 0.0,
            "slippage": 50.0 * np.abs(bps) / 1e4, "liquidity": "taker",
        }
    )  # fmt: skip
    accepted = [
        OrderAccepted(
            client_order_id=name, symbol="AAA", happened_at=OPEN, known_at=OPEN,
            broker_order_id=broker_order_id,
        )
        for name in ids
    ]  # fmt: skip
    events = pl.DataFrame(
        {
            "session_id": "s", "date": [DAY] * len(ids), "sequence": range(len(ids)),
            "kind": "accepted", "timestamp": [OPEN] * len(ids), "known_at": [OPEN] * len(ids),
            "client_order_id": ids, "symbol": "AAA",
            "detail": [encode(event).decode() for event in accepted],
        }
    )  # fmt: skip
    for name, rows in (("session_fills", fills), ("session_events", events)):
        table = pipeline.lake.tables[name]
        pipeline.lake.write(name, DAY.isoformat(), table.conform(rows), {})


def write_quotes(pipeline):
    stamps = [OPEN + timedelta(minutes=k) for k in range(60)]
    rows = pl.DataFrame({"timestamp": pl.Series(stamps).cast(schemas.TIME)}).with_columns(
        symbol=pl.lit("AAA"), bid=49.99, ask=50.01, bid_size=100.0, ask_size=100.0,
        conditions=pl.lit(None, pl.String), source=pl.lit("test"), ingested_at=OPEN,
        origin=pl.lit(None, pl.String), row=pl.int_range(60),
    )  # fmt: skip
    table = pipeline.lake.tables["quote_ticks"]
    pipeline.lake.write("quote_ticks", DAY.isoformat(), table.conform(rows), {})


def test_costs_of_a_venue_are_found_and_the_suggested_settings_can_be_used(pipeline, tmp_path):
    write_fills(pipeline, "61e69015-8549-4bfd")
    write_quotes(pipeline)
    result = cost_calibration(pipeline)
    assert result.rows == {"cost_calibration": 5}
    table = pipeline.lake.read("cost_calibration")
    assert table.equals(result.preview.sort("symbol", "parameter", "source"))
    found = {tuple(row[:3]): row[3] for row in table.rows()}
    assert found["AAA", "half_spread_bps", "fills"] == pytest.approx(3.0, abs=0.3)
    assert found["AAA", "impact_coefficient", "fills"] == pytest.approx(0.7, abs=0.1)
    assert found["AAA", "half_spread_bps", "quotes"] == pytest.approx(2.0)
    lines = table.filter(pl.col("source") == "fills")["setting"].to_list()
    file = tmp_path / "taken.toml"
    file.write_text("\n".join(sorted(lines)))
    assert tomllib.loads(file.read_text())["costs"]["symbols"]["AAA"]
    costs = load_settings(file, {}).costs
    assert costs.symbols["AAA"].half_spread_bps == pytest.approx(3.0, abs=0.3)
    again = cost_calibration(pipeline)
    assert again.unchanged_since is not None
    assert again.rows == result.rows


def test_fills_of_the_simulated_exchange_are_no_evidence(pipeline):
    write_fills(pipeline, "sim-17")
    result = cost_calibration(pipeline)
    assert result.nothing == (
        "all 119 recorded fills came from the simulated exchange, which is no evidence, and no"
        " quotes are in the lake; fetch some with: harmony ticks --from DAY --to DAY"
    )
    assert pipeline.lake.read("cost_calibration").is_empty()
    write_quotes(pipeline)
    with_quotes = cost_calibration(pipeline)
    assert with_quotes.rows == {"cost_calibration": 1}
    assert with_quotes.notes == [
        "119 fills of the simulated exchange were left out: they cost what the settings say"
    ]


def test_without_fills_and_quotes_it_says_so(pipeline):
    result = cost_calibration(pipeline)
    assert result.rows == {"cost_calibration": 0}
    assert result.nothing.startswith(
        "no session has filled an order, and no quotes are in the lake"
    )
