"""What the named queries must answer on the small lake, worked out row by row in plain Python from
its rows, without SQL and without the library.
"""

import itertools
import math
from statistics import stdev
from typing import Any

from sql.small_lake import JAN, ROWS

Answer = list[dict[str, Any]]


def rows(name: str) -> Answer:
    _, defaults, given = ROWS[name]
    return [defaults | row for row in given]


def gaps_by_symbol() -> Answer:
    answer = []
    for symbol in {row["symbol"] for row in rows("daily_summary") + rows("gaps")}:
        days = [row for row in rows("daily_summary") if row["symbol"] == symbol]
        runs = [row for row in rows("gaps") if row["symbol"] == symbol]
        longest = max(runs, key=lambda row: (row["bars"], row["first_missing"]), default=None)
        present = sum(row["regular_bars"] for row in days)
        kinds = {
            kind: sum(row["bars"] for row in runs if row["kind"] == kind)
            for kind in ("missing", "halt", "no_trade", "unknown")
        }
        answer.append(
            {"symbol": symbol, "sessions": len(days), "expected": present + sum(kinds.values()),
            "present": present, **kinds,
             "longest": longest and longest["bars"],
             "longest_from": longest and longest["first_missing"]}
        )  # fmt: skip
    return sorted(answer, key=lambda row: (-row["missing"], -row["unknown"], row["symbol"]))


def top_gainers_premarket() -> Answer:
    best = sorted(
        (row for row in rows("scan_candidates") if row.get("gap") is not None),
        key=lambda row: -row["gap"],
    )[:3]
    return [
        {
            name: row.get(name)
            for name in (
                "date",
                "symbol",
                "price",
                "previous_close",
                "gap",
                "premarket_volume",
                "relative_volume",
            )
        }
        for row in best
    ]


def relative_volume(number: int = 5) -> Answer:
    answer = []
    for today in rows("daily_summary"):
        if today["date"] != JAN[number]:
            continue
        past = []
        for row in rows("daily_summary"):
            if row["symbol"] == today["symbol"] and row["date"] < today["date"]:
                splits = [
                    a["value"]
                    for a in rows("corporate_actions")
                    if a["kind"] == "split"
                    and a["symbol"] == row["symbol"]
                    and row["date"] < a["date"] <= today["date"]
                ]
                past.append(row["volume"] * math.prod(splits))
        usual = sum(past) / len(past) if past else None
        answer.append(
            {"symbol": today["symbol"], "date": today["date"], "volume": today["volume"],
            "usual_volume": usual,
             "relative_volume": today["volume"] / usual if usual else None, "sessions": len(past)}
        )  # fmt: skip
    return sorted(
        answer,
        key=lambda row: (
            row["relative_volume"] is None,
            -(row["relative_volume"] or 0),
            row["symbol"],
        ),
    )


def volatility_by_sector() -> Answer:
    sectors = {
        row["symbol"]: row["sector"]
        for row in sorted(rows("universe"), key=lambda row: row["date"])
    }
    returns: dict[str, list[tuple[str, float]]] = {}
    for symbol in {row["symbol"] for row in rows("daily_summary")}:
        days = sorted(
            (row for row in rows("daily_summary") if row["symbol"] == symbol),
            key=lambda row: row["date"],
        )
        for before, after in itertools.pairwise(days):
            change = math.log(
                after["close"]
                * after["adjustment_factor"]
                / (before["close"] * before["adjustment_factor"])
            )
            returns.setdefault(sectors.get(symbol, "unknown"), []).append((symbol, change))
    answer = [
        {
            "sector": sector,
            "symbols": len({symbol for symbol, _ in pairs}),
            "annual_volatility": (
                stdev([r for _, r in pairs]) * math.sqrt(252) if len(pairs) > 1 else None
            ),
        }
        for sector, pairs in returns.items()
    ]
    return sorted(
        answer, key=lambda row: (row["annual_volatility"] is None, -(row["annual_volatility"] or 0))
    )


def quarantine_by_rule() -> Answer:
    answer = []
    for rule in {row["rule"] for row in rows("quarantine")}:
        of_rule = [row for row in rows("quarantine") if row["rule"] == rule]
        stamps = [row["timestamp"] for row in of_rule]
        example = min(row["reason"] for row in of_rule)
        answer.append(
            {
                "rule": rule,
                "rows": len(of_rule),
                "symbols": len({row["symbol"] for row in of_rule}),
                "first": min(stamps),
                "last": max(stamps),
                "example": example,
            }
        )
    return sorted(answer, key=lambda row: (-row["rows"], row["rule"]))


def warnings_by_rule() -> Answer:
    answer = []
    for rule in {row["rule"] for row in rows("quality_warnings")}:
        of_rule = [row for row in rows("quality_warnings") if row["rule"] == rule]
        stamps, measures = (
            [row["timestamp"] for row in of_rule],
            [row["measure"] for row in of_rule if row.get("measure") is not None],
        )
        symbols = len({row["symbol"] for row in of_rule})
        told = {
            "rule": rule,
            "rows": len(of_rule),
            "symbols": symbols,
            "first": min(stamps),
            "last": max(stamps),
        }
        answer.append(
            {
                **told,
                "largest": max(measures, default=None),
                "example": min(row["reason"] for row in of_rule),
            }
        )
    return sorted(answer, key=lambda row: (-row["rows"], row["rule"]))


def corrections() -> Answer:
    answer = []
    for key in sorted({(row["symbol"], row["timestamp"]) for row in rows("raw_bars")}):
        versions = sorted(
            (row for row in rows("raw_bars") if (row["symbol"], row["timestamp"]) == key),
            key=lambda row: row["ingested_at"],
        )
        for old, new in itertools.pairwise(versions):
            changed = [
                f"{name} {old[name]} -> {new[name]}"
                for name in ("open", "high", "low", "close", "volume")
                if old[name] != new[name]
            ]
            if changed:
                answer.append(
                    {"symbol": key[0], "timestamp": key[1], "known_before": old["ingested_at"],
                    "learned": new["ingested_at"], "source": new["source"],
                     "changed": ", ".join(changed), "close_before": old["close"],
                     "close_after": new["close"],
                     "volume_before": old["volume"], "volume_after": new["volume"]}
                )  # fmt: skip
    return answer


def universe_on_a_day(number: int = 5) -> Answer:
    day, answer = JAN[number], []
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(rows("listings"), key=lambda row: row["known"]):
        if row["known"] <= day:
            latest[row["security_id"], row["symbol"], row["valid_from"]] = row
    for row in latest.values():
        if row["valid_from"] <= day and (row.get("valid_to") is None or row["valid_to"] > day):
            facts: dict[str, Any] = {}
            for fact in sorted(rows("universe"), key=lambda fact: fact["date"]):
                if fact["symbol"] in (row["symbol"], row["security_id"]) and fact["date"] <= day:
                    facts = fact
            answer.append(
                {"day": day, "symbol": row["symbol"], "security_id": row["security_id"],
                "listed": row.get("listed") or facts.get("listed"),
                 **{name: facts.get(name) for name in ("shares", "float", "market_cap", "sector")}}
            )  # fmt: skip
    return sorted(answer, key=lambda row: row["symbol"])


def security_bars() -> Answer:
    """The security OLD, which is NEW from the fourth on."""
    own = [
        row
        for row in rows("daily_summary")
        if (row["symbol"] == "OLD" and row["date"] < JAN[4])
        or (row["symbol"] == "NEW" and row["date"] >= JAN[4])
    ]
    names = ("symbol", "date", "open", "high", "low", "close", "volume", "adjustment_factor")
    return [
        {"security_id": "OLD", **{name: row.get(name) for name in names}}
        for row in sorted(own, key=lambda row: row["date"])
    ]


def bar_to_trades() -> Answer:
    answer = []
    for row in rows("bars"):
        for order in rows("orders"):
            if order.get("parent_id") or (order["symbol"], order["signal_timestamp"]) != (
                row["symbol"],
                row["timestamp"],
            ):
                continue
            fills = [fill for fill in rows("fills") if fill["order_id"] == order["order_id"]]
            quantity = sum(fill["quantity"] for fill in fills)
            first = min((fill["timestamp"] for fill in fills), default=None)
            trade = next(
                (
                    one
                    for one in rows("trades")
                    if one["symbol"] == row["symbol"] and one["entry_timestamp"] == first
                ),
                {},
            )
            forecast = next(
                (
                    one["probability"]
                    for one in rows("predictions")
                    if one["model_id"] == order.get("model_id")
                    and one["timestamp"] == row["timestamp"]
                ),
                None,
            )
            answer.append(
                {"symbol": row["symbol"], "bar": row["timestamp"], "close": row["close"],
                "run": order["backtest_id"], "order_id": order["order_id"],
                "decided": order["timestamp"],
                 "side": order["side"], "status": order["status"],
                 "model_id": order.get("model_id"), "probability": forecast,
                 "filled": quantity or None,
                 "average_price": sum(fill["quantity"] * fill["price"] for fill in fills) / quantity if fills else None,
                 **{name: trade.get(name) for name in ("trade_id", "exit_timestamp", "exit_reason",
                 "pnl")}}
            )  # fmt: skip
    return answer


def trade_to_bars() -> Answer:
    answer = []
    for trade in rows("trades"):
        fill = next(
            fill
            for fill in rows("fills")
            if fill["timestamp"] == trade["entry_timestamp"] and fill["side"] == "buy"
        )
        order = next(order for order in rows("orders") if order["order_id"] == fill["order_id"])
        signal = next(
            row
            for row in rows("bars")
            if (row["symbol"], row["timestamp"]) == (order["symbol"], order["signal_timestamp"])
        )
        forecast = next(
            one["probability"]
            for one in rows("predictions")
            if one["model_id"] == order["model_id"]
        )
        versions = sorted(
            (
                row
                for row in rows("raw_bars")
                if (row["symbol"], row["timestamp"]) == (signal["symbol"], signal["timestamp"])
            ),
            key=lambda row: row["ingested_at"],
        )
        for raw in versions:
            answer.append(
                {**{name: trade[name] for name in ("backtest_id", "trade_id", "symbol", "side", "entry_timestamp", "pnl")}, "order_id": order["order_id"],
                 "decided": order["timestamp"], "model_id": order["model_id"],
                 "probability": forecast, "bar": signal["timestamp"], "close": signal["close"],
                 "source": raw["source"], "origin": raw["origin"], "row": raw["row"],
                 "ingested_at": raw["ingested_at"], "raw_close": raw["close"],
                 "became_the_bar": raw is versions[-1]}
            )  # fmt: skip
    return answer


def out_of_sample_by_period() -> Answer:
    answer = []
    settled = {
        (row["symbol"], row["timestamp"], row["horizon"]): row["label"] for row in rows("labels")
    }
    pairs = [
        (row["probability"], settled[row["symbol"], row["timestamp"], row["horizon"]])
        for row in rows("predictions")
    ]
    n = len(pairs)
    answer.append(
        {"period": "2024", "horizon": 7, "forecasts": n,
        "mean_probability": sum(p for p, _ in pairs) / n, "hit_rate": sum(y for _, y in pairs) / n,
         "brier": sum((p - y) ** 2 for p, y in pairs) / n}
    )  # fmt: skip
    return answer


ANSWERS = {
    name: globals()[name]
    for name in (
        "bar_to_trades", "corrections", "gaps_by_symbol", "out_of_sample_by_period",
        "quarantine_by_rule", "relative_volume", "security_bars",
        "top_gainers_premarket", "trade_to_bars", "universe_on_a_day", "volatility_by_sector",
        "warnings_by_rule",
    )
}  # fmt: skip
