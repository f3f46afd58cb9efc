"""A lake small enough to be checked by eye: three symbols, five sessions, one split, one change of
symbol, one correction, one trade.
"""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from harmony_pipeline.lake.lake import Lake

JAN = {day: date(2024, 1, day) for day in range(1, 32)}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, minute, tzinfo=UTC)


def filled(lake: Lake) -> Lake:
    """Write every row into `lake`."""
    for name, (partition, defaults, rows) in ROWS.items():
        schema = lake.tables[name]
        frame = pl.DataFrame(
            [{**dict.fromkeys(schema.columns), **defaults, **row} for row in rows],
            schema=schema.dtypes,
            orient="row",
        )
        lake.write(name, partition, frame)
    return lake


def bar(symbol: str, when: datetime, close: float, volume: float = 1000.0) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "timestamp": when,
        "open": close,
        "high": close + 1.0,
        "low": close - 1.0,
        "close": close,
        "volume": volume,
    }


def day(
    symbol: str,
    number: int,
    close: float,
    volume: float,
    regular_bars: int = 7,
    factor: float = 1.0,
) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "date": JAN[number],
        "close": close,
        "volume": volume,
        "bars": regular_bars,
        "regular_bars": regular_bars,
        "adjustment_factor": factor,
    }


_HOUR = {"timeframe": "1Hour"}
ROWS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "daily_summary": (
        "2024",
        {"expected_regular_bars": 7, "last_timestamp": at(2, 20), "premarket_volume": 0.0, "premarket_bars": 0, "scan_time": at(2, 14), "postmarket_volume": 0.0},
        [
            day("AAA", 2, 100.0, 1000.0), day("AAA", 3, 102.0, 1200.0),
            day("AAA", 4, 51.0, 2500.0, 6, 2.0), day("AAA", 5, 52.0, 9000.0, 7, 2.0),
            day("BBB", 2, 20.0, 500.0), day("BBB", 3, 19.0, 700.0, 5), day("BBB", 4, 21.0, 0.0),
            day("BBB", 5, 20.0, 400.0),
            day("OLD", 2, 8.0, 100.0), day("OLD", 3, 8.5, 100.0), day("NEW", 4, 8.25, 150.0),
            day("NEW", 5, 9.0, 50.0),
        ],
    ),
    "gaps": (
        "2024",
        {**_HOUR, "session_bars": 7, "past_sessions": 0, "evidence": "test"},
        [
            {"symbol": "AAA", "date": JAN[4], "first_missing": at(4, 16), "last_missing": at(4, 16), "bars": 1, "kind": "halt"},
            {"symbol": "BBB", "date": JAN[3], "first_missing": at(3, 15), "last_missing": at(3, 15), "bars": 1, "kind": "no_trade"},
            {"symbol": "BBB", "date": JAN[3], "first_missing": at(3, 18), "last_missing": at(3, 18), "bars": 1, "kind": "missing"},
            {"symbol": "GHOST", "date": JAN[2], "first_missing": at(2, 14), "last_missing": at(2, 20), "bars": 7, "kind": "missing"},
            {"symbol": "GHOST", "date": JAN[3], "first_missing": at(3, 14), "last_missing": at(3, 20), "bars": 7, "kind": "unknown"},
        ],
    ),
    "corporate_actions": ("all", {}, [{"symbol": "AAA", "date": JAN[4], "kind": "split", "value": 2.0}, {"symbol": "BBB", "date": JAN[3], "kind": "dividend", "value": 0.5}]),
    "universe": (
        "all",
        {},
        [
            {"date": JAN[1], "symbol": "AAA", "listed": date(2010, 1, 4), "shares": 5e6, "float": 4e6, "market_cap": 5e8, "sector": "Technology"},
            {"date": JAN[4], "symbol": "AAA", "listed": date(2010, 1, 4), "shares": 1e7, "float": 8e6, "market_cap": 5.1e8, "sector": "Technology"},
            {"date": JAN[1], "symbol": "BBB", "listed": date(2015, 6, 1), "shares": 2e6, "market_cap": 4e7, "sector": "Energy"},
            {"date": JAN[5], "symbol": "BBB", "listed": date(2015, 6, 1), "delisted": JAN[8], "shares": 2e6, "market_cap": 4e7, "sector": "Energy"},
            {"date": JAN[1], "symbol": "OLD", "listed": date(2020, 1, 2), "sector": "Energy"},
        ],
    ),
    "listings": (
        "all",
        {"source": "test"},
        [
            {"security_id": "AAA", "symbol": "AAA", "valid_from": date(2010, 1, 4), "listed": date(2010, 1, 4), "reason": "listed", "known": JAN[1]},
            {"security_id": "BBB", "symbol": "BBB", "valid_from": date(2015, 6, 1), "listed": date(2015, 6, 1), "reason": "listed", "known": JAN[1]},
            {"security_id": "BBB", "symbol": "BBB", "valid_from": date(2015, 6, 1), "valid_to": JAN[8], "listed": date(2015, 6, 1), "delisted": JAN[8], "reason": "delisting", "known": JAN[5]},
            {"security_id": "OLD", "symbol": "OLD", "valid_from": date(2020, 1, 2), "reason": "listed", "known": JAN[1]},
            {"security_id": "OLD", "symbol": "OLD", "valid_from": date(2020, 1, 2), "valid_to": JAN[4], "successor": "NEW", "reason": "symbol_change", "known": JAN[4]},
            {"security_id": "OLD", "symbol": "NEW", "valid_from": JAN[4], "reason": "symbol_change", "known": JAN[4]},
            {"security_id": "LATER", "symbol": "LATER", "valid_from": JAN[9], "reason": "listed", "known": JAN[4]},
        ],
    ),
    "raw_bars": (
        "2024",
        {**_HOUR, "source": "files", "ingested_at": at(6, 1)},
        [
            {**bar("AAA", at(3, 15), 101.0), "origin": "a.csv", "row": 2},
            {**bar("AAA", at(3, 15), 101.5, 1100.0), "origin": "a2.csv", "row": 9, "ingested_at": at(8, 1)},
            {**bar("AAA", at(3, 16), 102.0), "origin": "a.csv", "row": 3},
            {**bar("AAA", at(3, 17), 103.0), "origin": "a.csv", "row": 4},
            {**bar("AAA", at(3, 17), 103.0), "origin": "b.csv", "row": 4, "ingested_at": at(7, 1), "trade_count": 5.0},
            {**bar("BBB", at(3, 15), 19.0), "origin": "b.csv", "row": 2},
            {**bar("BBB", at(3, 15), 19.0, 1300.0), "origin": "b.csv", "row": 2, "ingested_at": at(7, 1)},
            {**bar("BBB", at(3, 15), 19.0, 900.0), "origin": "b.csv", "row": 2, "ingested_at": at(8, 1)},
        ],
    ),
    "bars": (
        "2024",
        {**_HOUR, "session": "regular", "adjustment_factor": 1.0},
        [bar("AAA", at(3, 15), 101.5, 1100.0), bar("AAA", at(3, 16), 102.0), bar("AAA", at(3, 17), 103.0), bar("BBB", at(3, 15), 19.0, 900.0)],
    ),
    "quality_warnings": (
        "2024",
        _HOUR,
        [
            {"symbol": "AAA", "timestamp": at(3, 15), "rule": "outlier", "measure": 31.5, "reason": "moved far"},
            {"symbol": "BBB", "timestamp": at(4, 16), "rule": "outlier", "measure": 44.0, "reason": "fell far"},
            {"symbol": "AAA", "timestamp": at(3, 16), "rule": "zero_volume", "reason": "nothing traded"},
        ],
    ),
    "quarantine": (
        "2024",
        {**_HOUR, "source": "files"},
        [
            {"symbol": "AAA", "timestamp": at(3, 15), "origin": "a.csv", "row": 2, "rule": "superseded", "reason": "a.csv row 2: later"},
            {"symbol": "BBB", "timestamp": at(3, 15), "origin": "b.csv", "row": 2, "rule": "superseded", "reason": "b.csv row 2: later"},
            {"symbol": "BBB", "timestamp": at(4, 15), "origin": "b.csv", "row": 8, "rule": "bad_print", "reason": "b.csv row 8: far off"},
        ],
    ),
    "scan_candidates": (
        "2024-01-05",
        {"date": JAN[5], "as_of": at(5, 14, 25), "history_sessions": 3, "passed": False, "rejected_by": ["gap"]},
        [
            {"symbol": "AAA", "price": 56.1, "previous_close": 51.0, "gap": 0.1, "premarket_volume": 900.0, "relative_volume": 3.0},
            {"symbol": "BBB", "price": 21.42, "previous_close": 21.0, "gap": 0.02, "premarket_volume": 10.0},
            {"symbol": "NEW", "price": 9.9, "previous_close": 8.25, "gap": 0.2, "premarket_volume": 70.0, "relative_volume": 1.5},
            {"symbol": "NONE", "premarket_volume": 0.0},
            {"symbol": "ZED", "price": 5.0, "previous_close": 5.5, "gap": -0.09, "premarket_volume": 5.0},
        ],
    ),
    "predictions": (
        "2024",
        {"period": "2024", "horizon": 7},
        [{"model_id": "m1", "symbol": "AAA", "timestamp": at(3, 15), "probability": 0.625}, {"model_id": "m0", "symbol": "AAA", "timestamp": at(3, 15), "probability": 0.5}],
    ),
    "orders": (
        "meta",
        {"backtest_id": "bt", "time_in_force": "day", "kind": "market", "status": "filled"},
        [
            {"order_id": "AAA-e", "symbol": "AAA", "signal_timestamp": at(3, 15), "timestamp": at(3, 16), "side": "buy", "quantity": 10.0, "model_id": "m1"},
            {"order_id": "AAA-x", "parent_id": "AAA-e", "symbol": "AAA", "signal_timestamp": at(3, 15), "timestamp": at(3, 17), "side": "sell", "quantity": 10.0},
            {"order_id": "BBB-e", "symbol": "BBB", "signal_timestamp": at(3, 15), "timestamp": at(3, 16), "side": "sell", "quantity": 5.0, "status": "refused", "reason": "limit"},
        ],
    ),
    "fills": (
        "meta",
        {"backtest_id": "bt", "symbol": "AAA", "reference_price": 102.0, "fee": 0.0, "slippage": 0.0, "liquidity": "taker"},
        [
            {"fill_id": "f1", "order_id": "AAA-e", "timestamp": at(3, 16), "side": "buy", "quantity": 4.0, "price": 102.0},
            {"fill_id": "f2", "order_id": "AAA-e", "timestamp": at(3, 17), "side": "buy", "quantity": 6.0, "price": 102.5},
            {"fill_id": "f3", "order_id": "AAA-x", "timestamp": at(3, 17), "side": "sell", "quantity": 10.0, "price": 103.0},
        ],
    ),
    "trades": (
        "meta",
        {"backtest_id": "bt"},
        [
            {"trade_id": "AAA-1", "symbol": "AAA", "side": "long", "quantity": 10.0,
            "entry_timestamp": at(3, 16), "entry_price": 102.3, "exit_timestamp": at(3, 17),
             "exit_price": 103.0, "exit_reason": "target", "fees": 0.0, "slippage": 0.0, "pnl": 7.0, "return": 0.0068, "model_id": "m1"},
        ],
    ),
    "labels": (
        "2024",
        {"side": 1, "horizon": 7},
        [{"symbol": "AAA", "timestamp": at(3, 15), "label": 1, "end_timestamp": at(3, 20)}, {"symbol": "AAA", "timestamp": at(3, 16), "label": 0, "end_timestamp": at(3, 20)}],
    ),
}  # fmt: skip
