"""Frames that the report tests draw and print: small, seeded, shaped like the lake's tables."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument
from harmony_pipeline.reports.trade_views import TradeView
from harmony_pipeline.reports.trade_views import trade_view as build_trade_view
from harmony_pipeline.robustness.monte_carlo import MonteCarlo, simulate
from harmony_pipeline.robustness.sensitivity import Trial, combinations, trial_rows
from harmony_pipeline.robustness.settings import MonteCarloSettings

START = datetime(2023, 1, 3, 14, 30, tzinfo=UTC)
CASH = 100_000.0


def bars(count: int = 400, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0002, 0.004, count)))
    return pl.DataFrame(
        {
            "symbol": "AAA",
            "timeframe": "15Min",
            "timestamp": [
                START + timedelta(days=i // 26, minutes=15 * (i % 26)) for i in range(count)
            ],
            "session": "regular",
            "open": close,
            "high": close * 1.002,
            "low": close * 0.998,
            "close": close,
            "volume": 1e4,
            "adjustment_factor": 1.0,
        },
        schema_overrides={"timestamp": schemas.TIME},
    )


def trades(count: int = 120, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.002, 0.012, count)
    entries = [START + timedelta(hours=11 * i) for i in range(count)]
    return schemas.TRADES.conform(
        pl.DataFrame(
            {
                "backtest_id": "demo-1",
                "trade_id": [f"AAA-{i:04d}" for i in range(count)],
                "symbol": "AAA",
                "side": ["long" if i % 3 else "short" for i in range(count)],
                "quantity": 200.0,
                "entry_timestamp": entries,
                "entry_price": 50.0 + rng.normal(0, 1, count),
                "exit_timestamp": [when + timedelta(hours=5) for when in entries],
                "exit_price": 50.0 + rng.normal(0, 1, count),
                "exit_reason": [
                    ("take_profit", "stop_loss", "horizon")[i % 3] for i in range(count)
                ],
                "fees": 0.31,
                "slippage": 0.8,
                "pnl": returns * 10_000.0,
                "return": returns,
                "model_id": pl.Series([None] * count, dtype=pl.String),
            }
        )
    )


def trade_view(seed: int = 0) -> TradeView | None:
    """A short that lost, without orders and barriers."""
    trade, every = trades(1).row(0, named=True), bars(60, seed)
    return build_trade_view(
        trade,
        ("latest",),
        every,
        schemas.ORDERS.empty(),
        schemas.FILLS.empty(),
        Instrument("AAA"),
        Calendar.of("XNYS"),
        "15Min",
    )


def equity(days: int = 300, seed: int = 2) -> pl.DataFrame:
    values = CASH * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0006, 0.007, days)))
    return schemas.EQUITY.conform(
        pl.DataFrame(
            {
                "backtest_id": "demo-1",
                "timestamp": [START + timedelta(days=i) for i in range(days)],
                "equity": values,
                "cash": values * 0.4,
                "gross_exposure": values * 0.6,
                "net_exposure": values * 0.3,
                "drawdown": values / np.maximum.accumulate(values) - 1.0,
            }
        )
    )


def benchmark(days: int = 300) -> pl.DataFrame:
    values = 100.0 * np.exp(np.cumsum(np.random.default_rng(9).normal(0.0004, 0.01, days)))
    return pl.DataFrame({"timestamp": equity(days)["timestamp"], "value": values})


def monte_carlo(count: int = 120) -> MonteCarlo:
    return simulate(trades(count), CASH, MonteCarloSettings(paths=300), "demo-1")


def backtest_row() -> dict:
    numbers = dict(
        zip(
            schemas.METRICS,
            (
                0.184,
                0.151,
                0.112,
                1.31,
                1.92,
                1.6,
                -0.094,
                0.21,
                4.4,
                38.2,
                120.0,
                0.56,
                1.42,
                0.0021,
                37.4,
                96.2,
                0.23,
                0.787,
                0.23,
            ),
            strict=True,
        )
    )
    return {
        "backtest_id": "demo-1",
        "strategy": "demo",
        "parameters": '{"fast": 10, "slow": 40}',
        "start": START,
        "end": START + timedelta(days=300),
        "initial_cash": CASH,
        "participation": 0.012,
        **numbers,
    }


def trials() -> pl.DataFrame:
    rng = np.random.default_rng(4)
    made = []
    for number, parameters in enumerate(
        combinations({"fast": (5, 10, 20, 30), "slow": (40, 80, 120)})
    ):
        daily = rng.normal(0.0009 - 0.0003 * abs(parameters["fast"] - 10) / 10, 0.01, 200)
        frame = pl.DataFrame(
            {"timestamp": [START + timedelta(days=i) for i in range(200)], "return": daily}
        )
        made.append(Trial("demo", parameters, frame, START + timedelta(days=number)))
    return trial_rows(made, "data", 252).trials


def folds(count: int = 6) -> pl.DataFrame:
    rows = []
    for i in range(count):
        start = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=91 * i)
        trained = i > 0
        rows.append(
            {
                "period": f"{start:%Y-%m}",
                "model_id": f"model-{i}" if trained else None,
                "horizon": 8,
                "train_start": START if trained else None,
                "train_end": start - timedelta(hours=8),
                "train_last_end": start - timedelta(days=6) if trained else None,
                "test_start": start,
                "test_end": start + timedelta(days=91),
                "train_rows": 900 * i,
                "test_rows": 900,
                "purged_rows": 12 * i,
                "embargo": 8,
            }
        )
    return schemas.FOLDS.conform(pl.DataFrame(rows, schema_overrides=schemas.FOLDS.dtypes))


def promotions() -> pl.DataFrame:
    rules = [
        ("trades", 120.0, 100.0),
        ("deflated_sharpe", 0.71, 0.95),
        ("pbo", 0.31, 0.5),
        ("drawdown_p95", None, 0.3),
        ("brier_ratio", 0.994, 1.0),
    ]
    return schemas.PROMOTIONS.conform(
        pl.DataFrame(
            [
                {
                    "model_id": "model-5",
                    "decided_at": START,
                    "promoted": False,
                    "rule": rule,
                    "measure": measure,
                    "threshold": limit,
                    "passed": measure is not None and rule != "deflated_sharpe",
                    "previous_model_id": None,
                }
                for rule, measure, limit in rules
            ],
            schema=schemas.PROMOTIONS.dtypes,
        )
    )


def overfitting() -> pl.DataFrame:
    row = {
        "strategy": "demo",
        "n_trials": 12,
        "psr": 0.981,
        "dsr": 0.71,
        "pbo": 0.31,
        "splits": 10,
        "spa_pvalue": 0.082,
        "min_track_record": 412.0,
    }
    return pl.DataFrame([row], schema=schemas.OVERFITTING.dtypes)


def regimes() -> pl.DataFrame:
    rows = [
        ("bull", "low", 120, 0.11, 1.9),
        ("bull", "high", 60, 0.05, 1.1),
        ("bear", "low", 40, -0.01, -0.3),
        ("bear", "high", 55, 0.02, 0.4),
        ("unknown", "unknown", 25, 0.0, None),
    ]
    keys = ("trend", "volatility", "days", "total_return", "sharpe")
    return pl.DataFrame(
        [{"strategy": "demo", **dict(zip(keys, row, strict=True))} for row in rows],
        schema=schemas.REGIME_STABILITY.dtypes,
    )


def reliability() -> pl.DataFrame:
    centre = np.linspace(0.325, 0.675, 8)
    rng = np.random.default_rng(6)
    return pl.DataFrame(
        {
            "lower": centre - 0.025,
            "upper": centre + 0.025,
            "rows": [40, 120, 310, 620, 580, 280, 90, 25],
            "probability": centre,
            "frequency": np.clip(centre + rng.normal(0, 0.02, 8), 0, 1),
        }
    )


def candidates(count: int = 26) -> pl.DataFrame:
    rng = np.random.default_rng(7)
    gaps = rng.normal(0.01, 0.05, count)
    rows = []
    for i, gap in enumerate(gaps):
        reasons = (
            []
            if i < 6
            else [
                ["minimum_absolute_gap"],
                ["rank_limit"],
                ["minimum_premarket_volume", "maximum_float"],
            ][i % 3]
        )
        rows.append(
            {
                "date": date(2024, 3, 4),
                "as_of": datetime(2024, 3, 4, 14, 25, tzinfo=UTC),
                "symbol": f"SYM{i:02d}",
                "price": float(20 + i),
                "previous_close": float((20 + i) / (1 + gap)),
                "gap": gap,
                "absolute_gap": abs(gap),
                "premarket_volume": float(rng.integers(1_000, 900_000)),
                "relative_volume": float(rng.uniform(0.5, 9)),
                "history_sessions": 20,
                "score": abs(gap),
                "passed": not reasons,
                "rejected_by": reasons,
            }
        )
    return schemas.SCAN_CANDIDATES.conform(
        pl.DataFrame(rows, schema_overrides={"rejected_by": pl.List(pl.String)})
    )


def session_orders(count: int = 6) -> pl.DataFrame:
    rows = []
    for i in range(count):
        when = datetime(2024, 3, 4, 14, 45, tzinfo=UTC) + timedelta(minutes=30 * i)
        rows.append(
            {
                "session_id": "2024-03-04-demo",
                "date": date(2024, 3, 4),
                "client_order_id": f"c{i}",
                "order_id": f"AAA-{when:%Y%m%dT%H%M%S}-entry",
                "symbol": f"SYM{i:02d}",
                "timestamp": when,
                "side": "buy",
                "quantity": 100.0 + i,
                "kind": "market",
                "time_in_force": "ioc",
                "status": "refused" if i == 3 else "filled",
                "reason": "max_open_positions" if i == 3 else "signal",
            }
        )
    return schemas.SESSION_ORDERS.conform(pl.DataFrame(rows))


def session_fills() -> pl.DataFrame:
    orders = session_orders().filter(pl.col("status") == "filled")
    return schemas.SESSION_FILLS.conform(
        orders.select(
            "session_id",
            "date",
            "client_order_id",
            "order_id",
            "symbol",
            "timestamp",
            "side",
            "quantity",
            fill_id=pl.col("order_id") + "-1",
        ).with_columns(
            price=pl.lit(20.13),
            reference_price=pl.lit(20.12),
            fee=pl.lit(0.05),
            slippage=pl.lit(0.01),
            liquidity=pl.lit("taker"),
        )
    )


def session_equity(rows: int = 26) -> pl.DataFrame:
    day = equity(rows, seed=3).drop("backtest_id")
    stamps = [START + timedelta(minutes=15 * i) for i in range(rows)]
    return schemas.SESSION_EQUITY.conform(
        day.with_columns(
            session_id=pl.lit("2024-03-04-demo"),
            date=pl.lit(date(2024, 3, 4)),
            timestamp=pl.Series(stamps, dtype=schemas.TIME),
        )
    )


def session_positions() -> pl.DataFrame:
    row = {
        "session_id": "2024-03-04-demo",
        "date": date(2024, 3, 4),
        "symbol": "SYM00",
        "quantity": 100.0,
        "entry_price": 20.13,
        "last_price": 20.4,
        "stop_price": 19.8,
    }
    return schemas.SESSION_POSITIONS.conform(pl.DataFrame([row]))


def session_events() -> pl.DataFrame:
    kinds = [
        "session_started",
        "order_intended",
        "order_submitted",
        "order_filled",
        "order_intended",
        "order_refused",
        "session_ended",
    ]
    return schemas.SESSION_EVENTS.conform(
        pl.DataFrame(
            {
                "session_id": "2024-03-04-demo",
                "date": date(2024, 3, 4),
                "sequence": list(range(len(kinds))),
                "kind": kinds,
                "timestamp": [START + timedelta(minutes=i) for i in range(len(kinds))],
                "known_at": [START + timedelta(minutes=i) for i in range(len(kinds))],
                "symbol": "SYM00",
                "detail": '{"note": "<b>raw</b>"}',
            }
        )
    )


def divergence(different: int = 1) -> pl.DataFrame:
    rows = []
    for i in range(6):
        same = i >= different
        rows.append(
            {
                "session_id": "2024-03-04-demo",
                "date": date(2024, 3, 4),
                "kind": "fill" if i % 2 else "order",
                "key": f"k{i}",
                "symbol": f"SYM{i:02d}",
                "timestamp": START + timedelta(minutes=i),
                "live": '{"price": 20.13}',
                "backtest": '{"price": 20.13}' if same else '{"price": 20.14}',
                "equal": same,
            }
        )
    return schemas.DIVERGENCE.conform(pl.DataFrame(rows))


def importances(sizes: list[float]) -> pl.DataFrame:
    """Inputs of these permutation importances."""
    return pl.DataFrame(
        {
            "input": [f"input_{place}" for place in range(len(sizes))],
            "importance": sizes,
            "deviation": [0.01] * len(sizes),
        },
        schema={"input": pl.String, "importance": pl.Float64, "deviation": pl.Float64},
    )


def shap(slope: float) -> tuple[np.ndarray, np.ndarray]:
    """SHAP values of a straight line over two inputs, and the inputs."""
    X = np.random.default_rng(1).normal(size=(80, 2))
    return X * slope * np.array([1.0, 0.2]), X
