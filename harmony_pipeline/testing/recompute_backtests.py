"""Recomputation of a lake's backtests by other means.

    python -m harmony_pipeline.testing.recompute_backtests LAKE [--config harmony.toml]

Equity, trades and figures of every backtest are made again from bars, orders, fills, corporate
actions and settings alone: money and shares by a naive ledger in decimals
(`recomputation/ledger.py`), figures by plain formulas and by empyrical and quantstats, where they
are installed (`recomputation/figures.py`). Nothing of backtest/, portfolio/ and analytics/ is used.

Equal means: every moment of `equity` there, its money to the cent; every trade there, its money to
the cent, its prices and quantities to 1e-9; every figure to 1e-9 (of the tables' equity and trades,
which are compared before). One line is printed for each backtest, with the counts and the largest
deviations. A difference gives exit code 1.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.config import load_settings
from harmony_pipeline.execution.settings import CostSettings
from harmony_pipeline.schemas import METRICS
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.recomputation.figures import Run, library_figures, plain_figures
from harmony_pipeline.testing.recomputation.ledger import (
    Bar,
    Fees,
    Financing,
    Inputs,
    Ledger,
    Moment,
    RoundTrip,
    Row,
    Terms,
    currency,
    decimal_of,
)

CENT = 0.005  # less than this apart, two amounts are the same cents
RATIO = 1e-9
_SHOWN = 5
_MONEY_COLUMNS = ("equity", "cash", "gross_exposure", "net_exposure")


@dataclass
class Comparison:
    """What was compared of one backtest, the largest deviations, and what differs."""

    backtest_id: str
    counts: dict[str, int] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=lambda: {"money": 0.0, "ratio": 0.0})
    differences: list[str] = field(default_factory=list)

    def expect(self, what: str, stored: Any, own: Any, tolerance: float | None = None) -> None:
        """Note a difference of more than `tolerance`: `CENT` of money, `RATIO` of other numbers as
        a part of `own` where that is above 1, none of what is no number.
        """
        if tolerance is None or stored is None or own is None:
            if stored != own:
                self.differences.append(f"{what} is {stored}, recomputed {own}")
            return
        kind = "money" if tolerance == CENT else "ratio"
        apart = abs(stored - own) / (1.0 if kind == "money" else max(1.0, abs(own)))
        self.largest[kind] = max(self.largest[kind], apart)
        if not apart <= tolerance:
            self.differences.append(f"{what} is {stored}, recomputed {own}")

    def line(self) -> str:
        """One line for people."""
        counts = ", ".join(f"{number:,} {name}" for name, number in self.counts.items())
        verdict = f"{len(self.differences)} differences" if self.differences else "equal"
        return (
            f"{self.backtest_id}: {counts}: {verdict}; largest deviation"
            f" {self.largest['money']:.4f} of money, {self.largest['ratio']:.1e} of ratios"
        )


def recompute(pipeline: PipelineContext, strategies: Sequence[str] = ()) -> Iterator[Comparison]:
    """Every backtest of the lake, or those of these strategies, in order."""
    lake = pipeline.lake
    names = strategies or lake.partitions("backtests")
    bars = _bars(pipeline) if names else {}
    for name in names:
        tables = {
            table: lake.read(table, [name])
            for table in ("backtests", "orders", "fills", "trades", "position_actions", "equity")
        }
        for row in tables["backtests"].iter_rows(named=True):
            own = pl.col("backtest_id") == row["backtest_id"]
            mine = {table: rows.filter(own) for table, rows in tables.items()}
            yield compare(pipeline, row, mine, bars)


def compare(
    pipeline: PipelineContext,
    row: Row,
    tables: Mapping[str, pl.DataFrame],
    bars: Mapping[datetime, Mapping[str, Bar]],
) -> Comparison:
    """One backtest against what it is recomputed to. row: its row of `backtests`."""
    found = Comparison(row["backtest_id"])
    equity = tables["equity"]
    first: datetime | None = min(equity["timestamp"].to_list(), default=None)
    traded = {at: known for at, known in bars.items() if first is not None and at >= first}
    inputs = _inputs(pipeline, tables, traded)
    found.expect("initial_cash", row["initial_cash"], float(inputs.cash))
    ledger = Ledger(inputs)
    moments = list(ledger.run())
    found.differences += ledger.faults  # the cause before what it leads to
    _compare_equity(found, equity, moments)
    trips = [*ledger.trades, *ledger.open_trades.values()]
    _compare_trades(found, tables["trades"], {_trade_id(trip): trip for trip in trips})
    _compare_figures(found, row, _run(pipeline, inputs, tables))
    found.counts |= {
        "fills": tables["fills"].height,
        "corporate actions": tables["position_actions"].height,
    }
    return found


# --- what is read ---------------------------------------------------------------------------------


def _bars(pipeline: PipelineContext) -> dict[datetime, dict[str, Bar]]:
    """The regular bars by moment and symbol."""
    rows = pipeline.lake.scan("bars").filter(pl.col("session") == "regular")
    dated = pipeline.calendar.with_session(
        rows.select("timestamp", "symbol", "open", "high", "low", "close")
        .collect(engine="in-memory")
        .sort("timestamp", "symbol"),
        pipeline.timeframe,
    )
    found: dict[datetime, dict[str, Bar]] = defaultdict(dict)
    columns = ("timestamp", "symbol", "session_date", "open", "high", "low", "close")
    for at, symbol, *bar in dated.select(columns).iter_rows():
        found[at][symbol] = Bar(*bar)
    return found


def _inputs(
    pipeline: PipelineContext,
    tables: Mapping[str, pl.DataFrame],
    bars: Mapping[datetime, Mapping[str, Bar]],
) -> Inputs:
    settings, lake = pipeline.settings, pipeline.lake
    recoveries: dict[str, set[Decimal]] = defaultdict(set)
    stated = lake.read("listings").drop_nulls("recovery").select("symbol", "recovery")
    for symbol, value in stated.rows():
        recoveries[symbol].add(decimal_of(value))
    costs = settings.costs
    return Inputs(
        cash=decimal_of(settings.backtest.initial_cash),
        bars=bars,
        orders={row["order_id"]: row for row in tables["orders"].iter_rows(named=True)},
        fills=_by_moment(tables["fills"]),
        actions=_by_moment(tables["position_actions"].sort("sequence")),
        declared=_declared(lake.read("corporate_actions"), tables["position_actions"]),
        terms=_terms(pipeline),
        financing=Financing(
            borrow={
                symbol: decimal_of(own.borrow_rate)
                for symbol, own in costs.symbols.items()
                if own.borrow_rate is not None
            },
            borrow_else=decimal_of(costs.borrow_rate),
            cash=decimal_of(costs.interest_rate),
            debt=decimal_of(costs.debit_rate),
        ),
        fees=_fees(costs),
        recoveries=recoveries,
        delisting_recovery=decimal_of(settings.backtest.delisting_recovery),
    )


def _declared(
    actions: pl.DataFrame, applied: pl.DataFrame
) -> dict[str, list[tuple[date, str, Decimal]]]:
    """Splits and dividends by symbol. On the day of a change of symbol they are the new symbol's,
    whichever of the two names they stand under.
    """
    changes = applied.filter(pl.col("kind") == "symbol_change")
    successor = {
        (symbol, day): name
        for symbol, day, name in changes.select("symbol", "date", "successor").rows()
    }
    found: dict[str, list[tuple[date, str, Decimal]]] = defaultdict(list)
    rows = actions.filter(pl.col("kind").is_in(["split", "dividend"]))
    for symbol, day, kind, value in rows.select("symbol", "date", "kind", "value").rows():
        found[successor.get((symbol, day), symbol)].append((day, kind, decimal_of(value)))
    return found


def _fees(costs: CostSettings) -> Fees | None:
    """The rates of `[costs]`; None where a preset or the regulators make the fees."""
    if costs.preset is not None or costs.regulatory_fees:
        return None
    maker = costs.fee_bps if costs.maker_fee_bps is None else costs.maker_fee_bps
    rates = (costs.fee_bps, maker, costs.sell_fee_bps, costs.fee_per_share)
    return Fees(*map(decimal_of, rates))


def _terms(pipeline: PipelineContext) -> Any:
    instruments, lot_size = pipeline.instruments, pipeline.settings.costs.lot_size

    @cache
    def terms(symbol: str, session: date) -> Terms:
        known = instruments.at(symbol, session)
        step = known.lot_size if lot_size is None else lot_size
        return Terms(*map(decimal_of, (known.multiplier, step, known.fee_unit)))

    return terms


def _by_moment(rows: pl.DataFrame) -> dict[datetime, list[Row]]:
    found: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        found[row["timestamp"]].append(row)
    return found


def _run(pipeline: PipelineContext, inputs: Inputs, tables: Mapping[str, pl.DataFrame]) -> Run:
    """The backtest as the figures read it."""
    equity, fills = (
        pipeline.calendar.with_session(tables[name].sort("timestamp"), pipeline.timeframe)
        for name in ("equity", "fills")
    )
    units = [
        float(inputs.terms(symbol, session).multiplier) * quantity
        for symbol, session, quantity in fills.select("symbol", "session_date", "quantity").rows()
    ]
    closed = tables["trades"].drop_nulls("pnl")
    return Run(
        initial=float(inputs.cash),
        sessions=equity["session_date"].to_list(),
        equity=equity["equity"].to_list(),
        gross=equity["gross_exposure"].to_list(),
        fees=fills["fee"].to_list(),
        traded=[price * unit for price, unit in zip(fills["price"], units, strict=True)],
        slipped=[each * unit for each, unit in zip(fills["slippage"], units, strict=True)],
        pnl=closed["pnl"].to_list(),
        returns=closed["return"].to_list(),
        year=pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year,
    )


# --- what is compared -----------------------------------------------------------------------------


def _compare_equity(found: Comparison, equity: pl.DataFrame, moments: Sequence[Moment]) -> None:
    rows = {row["timestamp"]: row for row in equity.iter_rows(named=True)}
    found.counts["moments"] = len(rows)
    missing = [at for at in (moment.at for moment in moments) if at not in rows]
    extra = rows.keys() - {moment.at for moment in moments}
    found.differences += [f"equity has no row at {at}" for at in missing]
    found.differences += [f"equity has a row at {at}, without a bar" for at in sorted(extra)]
    for moment in (moment for moment in moments if moment.at in rows):
        row, own = rows[moment.at], (moment.equity, moment.cash, moment.gross, moment.net)
        for name, units in zip(_MONEY_COLUMNS, own, strict=True):
            found.expect(f"{name} at {moment.at}", row[name], currency(units), CENT)
        drawdown = moment.equity / moment.peak - 1.0
        # a cent of an account is more of it than 1e-9: equity is compared above
        if abs(row["drawdown"] - drawdown) > CENT / currency(moment.peak):
            found.differences.append(
                f"drawdown at {moment.at} is {row['drawdown']}, recomputed {drawdown}"
            )


def _trade_id(trip: RoundTrip) -> str:
    """A trade is named by its entry order, without the order's role."""
    return str(trip.entry["order_id"]).removesuffix("-entry")


def _compare_trades(found: Comparison, trades: pl.DataFrame, own: Mapping[str, RoundTrip]) -> None:
    rows = {row["trade_id"]: row for row in trades.iter_rows(named=True)}
    found.counts["trades"] = len(rows)
    found.differences += [f"trade {name} is missing" for name in sorted(own.keys() - rows.keys())]
    found.differences += [f"trade {name} has no fill" for name in sorted(rows.keys() - own.keys())]
    for name in sorted(rows.keys() & own.keys()):
        _compare_trade(found, rows[name], own[name])


def _compare_trade(found: Comparison, row: Row, trip: RoundTrip) -> None:
    closed = trip.exit_timestamp is not None
    exact = {
        "symbol": trip.symbol,
        "side": "long" if trip.side > 0 else "short",
        "entry_timestamp": trip.entry_timestamp,
        "exit_timestamp": trip.exit_timestamp,
        "exit_reason": trip.reason if closed else None,
        "model_id": trip.entry["model_id"],
    }
    near = {
        "quantity": trip.entered,
        "entry_price": trip.entry_cost / trip.entered,
        "exit_price": trip.exit_cost / trip.left if closed else None,
        "slippage": trip.slippage,
    }
    money = {"fees": trip.fees, "pnl": trip.cash_flow if closed else None}
    of = f"trade {row['trade_id']}: "
    for name, value in exact.items():
        found.expect(of + name, row[name], value)
    for name, number in near.items():
        found.expect(of + name, row[name], None if number is None else float(number), RATIO)
    for name, units in money.items():
        found.expect(of + name, row[name], None if units is None else currency(units), CENT)
    # pnl and the value are compared, or made of compared prices; a return is their quotient
    made = row["pnl"] / currency(trip.entry_value) if closed and trip.entry_value else None
    found.expect(of + "return", row["return"] if made is not None else None, made, RATIO * 10)


def _compare_figures(found: Comparison, row: Row, run: Run) -> None:
    own = plain_figures(run)
    found.counts["figures"] = len(METRICS)
    for name in METRICS:
        found.expect(name, row[name], own[name], RATIO)
    for library, figures in library_figures(run).items():
        found.counts[f"by {library}"] = len(figures)
        for name, value in figures.items():
            if row[name] is not None:
                found.expect(f"{name} by {library}", row[name], value, RATIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 1 when something differs or when there was nothing to recompute."""
    parser = argparse.ArgumentParser(description="Recompute the backtests of a lake.")
    parser.add_argument("lake", help="folder of the lake")
    parser.add_argument("--config", help="settings that it was made with", default="harmony.toml")
    parser.add_argument("--strategy", action="append", default=[], help="only this one")
    chosen = parser.parse_args(arguments)
    settings = load_settings(chosen.config)
    lake = chosen.lake if "://" in chosen.lake else str(Path(chosen.lake).resolve())
    paths = settings.paths.model_copy(update={"lake": lake})
    pipeline = PipelineContext(settings.model_copy(update={"paths": paths}))
    found = []
    for one in recompute(pipeline, chosen.strategy):
        found.append(one)
        print(one.line(), flush=True)
        for difference in one.differences[:_SHOWN]:
            print(f"    {difference}")
    different = sum(bool(one.differences) for one in found)
    print(f"{len(found)} backtests, {different} of them differ")
    return 1 if different or not found else 0


if __name__ == "__main__":
    sys.exit(main())
