"""Every table of the lake, declared once: columns, types, units, keys.

From here come the empty tables that make views work on an empty lake, the pandera checks that guard
each write, and the column notes in the docs. `timestamp` is always the *start* of a bar in UTC. A
renamed column is a breaking change; more columns are welcome. `features` has one more column per
feature, so its schema is made by `features_table(names)`.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import polars as pl

from harmony_pipeline.frames import sort_rows

TIME = pl.Datetime("us", "UTC")
TEXT, REAL, WHOLE, FLAG, DAY = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean(), pl.Date()
PeriodKind = Literal["trading", "retraining", "strategy", "day", "none"]


@dataclass(frozen=True)
class Column:
    """One column: its type, what it means with its unit, whether it may be null, and the limits or
    choices of its values.
    """

    dtype: Any
    note: str = ""
    nullable: bool = False
    above: float | None = None
    at_least: float | None = None
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table: `key` is unique and is the order in which rows are stored.

    `known_by` names the column that says when a row was learned. Such a table only grows, and its
    past is told row by row; of any other table the lake keeps whole earlier versions of a
    partition.
    """

    name: str
    note: str
    partitioned_by: PeriodKind
    key: tuple[str, ...]
    columns: dict[str, Column] = field(default_factory=dict)
    known_by: str | None = None
    unique_key: bool = True  # false where only the order is by key: rows as they came
    conditions: tuple[str, ...] = ()  # in SQL; every row meets them
    # what further columns mean, where files may hold some that are not declared
    more_columns: str = ""

    @property
    def dtypes(self) -> dict[str, Any]:
        """Polars type of every column, in order."""
        return {name: column.dtype for name, column in self.columns.items()}

    def empty(self) -> pl.DataFrame:
        """The table with no rows."""
        return pl.DataFrame(schema=self.dtypes)

    def conform(self, frame: pl.DataFrame, *, in_order: bool = False) -> pl.DataFrame:
        """`frame` with exactly these columns in order, cast, missing nullable ones filled with
        null, sorted by key. `in_order` says that the rows are sorted already, by construction.

        Raises ValueError for a missing column, and for a number that the column's type would cut:
        1.9 is no whole number.
        """
        if frame.columns == list(self.columns) and frame.dtypes == list(self.dtypes.values()):
            return frame if in_order else sort_rows(frame, self.key)
        missing = [
            name
            for name, column in self.columns.items()
            if name not in frame.columns and not column.nullable
        ]
        if missing:
            raise ValueError(
                f"table {self.name} lacks the column(s) {', '.join(missing)}; it has"
                f" {', '.join(frame.columns)}"
            )
        self._refuse_fractions(frame)
        present = [
            (
                pl.col(name).cast(column.dtype)
                if name in frame.columns
                else pl.lit(None, dtype=column.dtype).alias(name)
            )
            for name, column in self.columns.items()
        ]
        conformed = frame.select(present)
        return conformed if in_order else sort_rows(conformed, self.key)

    def _refuse_fractions(self, frame: pl.DataFrame) -> None:
        schema = frame.schema
        for name, column in self.columns.items():
            if not (column.dtype.is_integer() and name in schema and schema[name].is_float()):
                continue
            cut = frame.filter(pl.col(name) != pl.col(name).floor())
            if cut.height:
                found = f"{name} is {cut[name][0]}, expected a whole number"
                raise ValueError(f"table {self.name}: {found} ({cut.height} rows)")


def _bar_columns(nullable: bool) -> dict[str, Column]:
    """Prices and volume: as they came (nullable, whatever they say), or as bars may have them."""
    price = Column(REAL, "raw price", nullable, above=None if nullable else 0.0)
    return {
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": Column(REAL, "shares", nullable, at_least=None if nullable else 0.0),
        "trade_count": Column(REAL, "trades in the bar", True),
        "vwap": Column(REAL, "volume-weighted price", True),
    }


_ID = {"symbol": Column(TEXT), "timeframe": Column(TEXT, "1Min, 15Min, 1Hour, 1Day, ...")}
_STAMP = {"timestamp": Column(TIME, "start of the bar, UTC")}

RAW_BARS = Table(
    "raw_bars",
    "Bars as received, every version of a row with the moment it was learned; a cell that could not"
    " be read is null and `defect` says what stood there.",
    "trading",
    ("symbol", "timestamp", "ingested_at", "origin", "row"),
    {
        **_ID,
        **_STAMP,
        **_bar_columns(True),
        "source": Column(TEXT, "which MarketDataSource"),
        "ingested_at": Column(TIME, "when it was learned"),
        "origin": Column(TEXT, "file or address it came from", True),
        "row": Column(WHOLE, "line or row number there, from 1", True),
        "defect": Column(TEXT, "what could not be read", True),
    },
    known_by="ingested_at",
    unique_key=False,
)
COVERAGE = Table(
    "coverage",
    "Which stretches of time were fetched from a supplier: a bar that is absent from one was not"
    " there.",
    "none",
    ("identity", "timeframe", "symbol", "start"),
    {
        "identity": Column(TEXT, "supplier, feed and adjustment"),
        "timeframe": Column(TEXT),
        "symbol": Column(TEXT, "* stands for every symbol of the source"),
        "start": Column(TIME),
        "end": Column(TIME, "exclusive"),
        "learned_at": Column(TIME, "when its last part was fetched"),
    },
)
FILE_ACCOUNTS = Table(
    "file_accounts",
    "How many rows of each file a period received when it was last read: what no period received"
    " lies outside the market's range.",
    "trading",
    ("reading", "origin"),
    {
        "reading": Column(TEXT, "which files were there and how they were read, as a hash"),
        "origin": Column(TEXT, "the file"),
        "rows": Column(WHOLE, "rows in the file, unreadable ones included"),
        "first": Column(TIME, "earliest readable time in the file", True),
        "last": Column(TIME, "latest readable time in the file", True),
        "received": Column(WHOLE, "rows that this period received"),
        "read_from": Column(TIME, "start of what was read for this period"),
        "read_to": Column(TIME, "exclusive end of it"),
    },
)
EXCHANGE_SESSIONS = Table(
    "exchange_sessions",
    "When the market's exchange is open: one row a session of its calendar, whole from the first"
    " known to the last.",
    "none",
    ("date",),
    {
        "calendar": Column(TEXT, "its name in market.calendar"),
        "time_zone": Column(TEXT, "the exchange's clock"),
        "date": Column(
            pl.Date(),
            "session date; a session that begins the evening before bears the date on which it"
            " ends",
        ),
        "pre_open": Column(
            TIME, "start of extended hours before the open; the open where there are none"
        ),
        "open": Column(TIME, "start of regular trading, UTC"),
        "close": Column(TIME, "end of regular trading; early on half-days"),
        "post_close": Column(TIME, "end of extended hours after the close"),
        "break_start": Column(TIME, "start of lunch, where there is one", True),
        "break_end": Column(TIME, "end of lunch", True),
    },
)
BAR_GRID = Table(
    "bar_grid",
    "Where bars of a timeframe start: as the settings say, or as the first bars of the lake"
    " showed.",
    "none",
    ("timeframe",),
    {
        "timeframe": Column(TEXT),
        "grid": Column(TEXT, "clock, session, or minutes after midnight; see market.grid"),
        "evidence": Column(TEXT, "what it was taken from"),
    },
)
BARS = Table(
    "bars",
    "Validated, de-duplicated, session-aware bars; past rows never change.",
    "trading",
    ("symbol", "timestamp"),
    {
        **_ID,
        **_STAMP,
        "session": Column(TEXT, "pre, regular or post", one_of=("pre", "regular", "post")),
        **_bar_columns(False),
        "adjustment_factor": Column(
            REAL,
            "forward cumulative, 1.0 at the symbol's first bar: adjusted price = price * factor",
            above=0.0,
        ),
    },
    conditions=("high >= open and high >= close", "low <= open and low <= close"),
)
QUARANTINE = Table(
    "quarantine",
    "One row per raw row that is not in bars, and per quote or trade received that was not kept"
    " (partitions quote-DAY and trade-DAY).",
    "trading",
    ("symbol", "timestamp", "source", "row"),
    {
        "symbol": Column(TEXT),
        "timeframe": Column(TEXT, "1Min, 15Min, 1Hour, 1Day, ...; quote or trade for ticks"),
        "timestamp": Column(TIME, "start of the bar, UTC; when a tick happened"),
        "source": Column(TEXT),
        "origin": Column(TEXT, "", True),
        "row": Column(WHOLE, "where it came from", True),
        "rule": Column(TEXT, "name of the rule it broke"),
        "reason": Column(TEXT, "what was found, what was expected, the cure"),
    },
    unique_key=False,
)
QUALITY_WARNINGS = Table(
    "quality_warnings",
    "Bars that a rule found odd and let pass; a row that stands here is in bars, but for"
    " wrong_time_zone, which speaks of a whole file.",
    "trading",
    ("symbol", "timestamp", "rule"),
    {
        **_ID,
        "timestamp": Column(TIME, "start of the bar at which the rule knew, UTC"),
        "rule": Column(TEXT, "name of the rule"),
        "measure": Column(REAL, "what the rule measured: docs/quality.md", True),
        "reason": Column(TEXT, "what was found, what to do"),
    },
)
BAR_STATE = Table(
    "bar_state",
    "What the quality rules remember of every symbol seen up to the end of a period, so that the"
    " next one needs no earlier bar.",
    "trading",
    ("symbol",),
    {
        "symbol": Column(TEXT),
        "timestamp": Column(
            TIME, "start of its last regular bar, or of its last bar when none was regular"
        ),
        "close": Column(REAL, "last regular close", True),
        "adjustment_factor": Column(REAL, "forward cumulative, after its last bar"),
        "state": Column(
            pl.List(pl.Float64()), "flat memory vector: market/validation/symbol_state.py", True
        ),
    },
)
_TICK = {
    "symbol": Column(TEXT),
    "timestamp": Column(TIME, "when it happened, UTC"),
}
_LEARNED = {
    "source": Column(TEXT, "which MarketDataSource"),
    "ingested_at": Column(TIME, "when it was learned"),
    "origin": Column(TEXT, "file or address it came from", True),
    "row": Column(WHOLE, "line or row number there, from 1", True),
}
QUOTE_TICKS = Table(
    "quote_ticks",
    "Changes of the national best bid and offer.",
    "day",
    ("symbol", "timestamp", "origin", "row"),
    {
        **_TICK,
        "bid": Column(REAL, "raw price; null: no bid", True),
        "bid_size": Column(REAL, "shares", True),
        "ask": Column(REAL, "raw price; null: no offer", True),
        "ask_size": Column(REAL, "shares", True),
        "conditions": Column(TEXT, "as the supplier writes them", True),
        **_LEARNED,
    },
)
TRADE_TICKS = Table(
    "trade_ticks",
    "Every trade as reported.",
    "day",
    ("symbol", "timestamp", "origin", "row"),
    {
        **_TICK,
        "price": Column(REAL, "raw price", True),
        "size": Column(REAL, "shares", True),
        "exchange": Column(TEXT, "as the supplier writes it", True),
        "conditions": Column(TEXT, "as the supplier writes them", True),
        "suspicious": Column(FLAG, "marked by the supplier", True),
        "trade_id": Column(TEXT, "", True),
        **_LEARNED,
    },
)
TICK_COUNTS = Table(
    "tick_counts",
    "What became of the quotes and trades received for a day: received = kept + quarantined +"
    " merged. Partitions quote-DAY and trade-DAY.",
    "day",
    ("timeframe", "symbol"),
    {
        "timeframe": Column(TEXT, "quote or trade"),
        "symbol": Column(TEXT),
        "received": Column(WHOLE, "rows"),
        "kept": Column(WHOLE, "rows in quote_ticks or trade_ticks"),
        "quarantined": Column(WHOLE, "rows in quarantine"),
        "merged": Column(WHOLE, "rows that another file had told already"),
    },
)
CORPORATE_ACTIONS = Table(
    "corporate_actions",
    "Splits and cash dividends by ex-date.",
    "none",
    ("symbol", "date", "kind"),
    {
        "symbol": Column(TEXT),
        "date": Column(DAY, "ex-date"),
        "kind": Column(TEXT, "split or dividend"),
        "value": Column(REAL, "new shares per old share; cash per share"),
    },
)
DAILY_SUMMARY = Table(
    "daily_summary",
    "One row a symbol and session, kept up to date at ingest. Prices raw.",
    "trading",
    ("symbol", "date"),
    {
        "symbol": Column(TEXT),
        "date": Column(DAY, "exchange session"),
        "open": Column(REAL, "first regular price", True),
        "high": Column(REAL, "regular", True),
        "low": Column(REAL, "regular", True),
        "close": Column(REAL, "last regular price", True),
        "volume": Column(REAL, "regular shares"),
        "bars": Column(WHOLE, "bars of every session part"),
        "regular_bars": Column(WHOLE, "regular bars"),
        "expected_regular_bars": Column(WHOLE, "by the calendar"),
        "last_timestamp": Column(TIME, "start of the day's last bar"),
        "adjustment_factor": Column(REAL, "of the day"),
        "premarket_volume": Column(REAL, "shares in bars ended by scan_time"),
        "premarket_high": Column(REAL, "", True),
        "premarket_low": Column(REAL, "", True),
        "premarket_last": Column(REAL, "last close known by scan_time", True),
        "premarket_bars": Column(WHOLE, "bars ended by scan_time"),
        "scan_time": Column(TIME, "the cutoff that the premarket columns use"),
        "postmarket_volume": Column(REAL, "shares"),
    },
)
GAPS = Table(
    "gaps",
    "Regular bars that the calendar expects and the lake does not have, as runs within a session.",
    "trading",
    ("symbol", "date", "first_missing"),
    {
        "symbol": Column(TEXT),
        "timeframe": Column(TEXT),
        "date": Column(DAY, "exchange session"),
        "first_missing": Column(TIME, "start of the first absent bar"),
        "last_missing": Column(TIME, "start of the last absent bar"),
        "bars": Column(WHOLE, "absent bars in the run"),
        "session_bars": Column(WHOLE, "bars expected in the session"),
        "kind": Column(TEXT, "missing, no_trade, halt or unknown"),
        "past_sessions": Column(WHOLE, "sessions with bars that the habit was learned from"),
        "usual_silence": Column(
            REAL, "share of absent bars at this time of day in past sessions", True
        ),
        "neighbour_trades": Column(
            REAL,
            "trades in the thinner of the bars that touch the run, estimated from volume where not"
            " counted",
            True,
        ),
        "evidence": Column(TEXT, "why it is of this kind"),
    },
)
FEATURE_STATE = Table(
    "feature_state",
    "Kernel state after the last bar of a period: what lets the next day continue.",
    "trading",
    ("symbol",),
    {
        "symbol": Column(TEXT),
        **_STAMP,
        "feature_set_hash": Column(TEXT),
        "state": Column(pl.List(pl.Float64()), "flat state vector"),
    },
)
REGIMES = Table(
    "regimes",
    "Market regime of each session, known at its close.",
    "trading",
    ("timestamp",),
    {
        **_STAMP,
        "known_at": Column(TIME, "the session's close"),
        "trend": Column(TEXT, "bull or bear", True),
        "volatility": Column(TEXT, "low or high", True),
        "index_level": Column(REAL, "benchmark, adjusted, 1.0 at its start"),
        "trend_average": Column(REAL, "moving average of index_level", True),
        "realised_volatility": Column(REAL, "annualised", True),
        "volatility_median": Column(REAL, "trailing median of realised_volatility", True),
    },
)
SIGNALS = Table(
    "signals",
    "Primary signals of every strategy, on every bar where its features are warm.",
    "trading",
    ("strategy", "symbol", "timestamp"),
    {
        "strategy": Column(TEXT),
        "symbol": Column(TEXT),
        **_STAMP,
        "side": Column(pl.Int8(), "-1, 0, 1"),
        "strength": Column(REAL, "0 to 1"),
    },
)
LABELS = Table(
    "labels",
    "Triple-barrier outcome of every event, each known at its own end_timestamp.",
    "trading",
    ("horizon", "symbol", "timestamp"),
    {
        "symbol": Column(TEXT),
        "timestamp": Column(TIME, "the event's bar"),
        "horizon": Column(WHOLE, "bars"),
        "side": Column(pl.Int8(), "-1 or 1"),
        "entry_timestamp": Column(TIME, "bar whose open is the entry", True),
        "entry_price": Column(REAL, "raw", True),
        "upper_barrier": Column(REAL, "raw price at entry", True),
        "lower_barrier": Column(REAL, "raw price at entry", True),
        "end_timestamp": Column(
            TIME, "end of the bar that settled it; null while unresolved", True
        ),
        "touched": Column(TEXT, "upper, lower or vertical", True),
        "return": Column(REAL, "in the direction of side, before costs", True),
        "label": Column(pl.Int8(), "1 when return > 0, else 0", True),
        "weight": Column(REAL, "average uniqueness", True),
    },
)
FOLDS = Table(
    "folds",
    "What each walk-forward period was trained and tested on.",
    "retraining",
    ("horizon", "period"),
    {
        "period": Column(TEXT),
        "model_id": Column(TEXT, "null: too little history", True),
        "horizon": Column(WHOLE, "bars"),
        "train_start": Column(TIME, "", True),
        "train_end": Column(TIME, "no outcome later than this was used"),
        "train_last_end": Column(TIME, "latest label end used", True),
        "test_start": Column(TIME),
        "test_end": Column(TIME),
        "train_rows": Column(WHOLE),
        "test_rows": Column(WHOLE),
        "purged_rows": Column(WHOLE),
        "embargo": Column(WHOLE, "bars"),
    },
)
MODELS = Table(
    "models",
    "Every trained model.",
    "retraining",
    ("model_id",),
    {
        "model_id": Column(TEXT),
        "period": Column(TEXT),
        "horizon": Column(WHOLE, "bars"),
        "forecaster": Column(TEXT),
        "created_at": Column(TIME),
        "feature_set_hash": Column(TEXT),
        "data_hash": Column(TEXT),
        "code_version": Column(TEXT),
        "parameters": Column(TEXT, "JSON"),
        "metrics": Column(TEXT, "JSON"),
        "artifact": Column(TEXT, "file below the state folder"),
    },
)
PREDICTIONS = Table(
    "predictions",
    "Out-of-sample probabilities of the primary signal being right.",
    "retraining",
    ("horizon", "symbol", "timestamp"),
    {
        "model_id": Column(TEXT),
        "period": Column(TEXT),
        "horizon": Column(WHOLE, "bars"),
        "symbol": Column(TEXT),
        **_STAMP,
        "probability": Column(REAL, "calibrated; null: the model cannot answer", True),
        "reason": Column(TEXT, "why there is no probability", True),
    },
)
PROMOTIONS = Table(
    "promotions",
    "Every decision of the gate, one row a rule.",
    "none",
    ("decided_at", "model_id", "rule"),
    {
        "model_id": Column(TEXT),
        "decided_at": Column(TIME),
        "promoted": Column(FLAG),
        "rule": Column(TEXT),
        "measure": Column(REAL, "", True),
        "threshold": Column(REAL),
        "passed": Column(FLAG),
        "previous_model_id": Column(TEXT, "", True),
    },
)
_ORDER_COLUMNS = {
    "order_id": Column(TEXT, "unique over the lake: backtest or account, symbol, decision, role"),
    "parent_id": Column(
        TEXT, "entry order of an exit; of a session perhaps one of an earlier day", True
    ),
    "symbol": Column(TEXT),
    "signal_timestamp": Column(TIME, "start of the signal's bar", True),
    "timestamp": Column(TIME, "the decision"),
    "side": Column(TEXT, "buy or sell"),
    "quantity": Column(
        REAL,
        "shares as they were when it was placed: an entry or exit at timestamp, a leg of a bracket"
        " at its entry's fill; a later split changes them",
    ),
    "kind": Column(TEXT, "market, limit, stop"),
    "limit_price": Column(REAL, "raw, in those same shares", True),
    "stop_price": Column(REAL, "raw, in those same shares", True),
    "time_in_force": Column(TEXT, "ioc, day, gtc"),
    "status": Column(TEXT),
    "reason": Column(
        TEXT,
        "why it was placed, or refused; delisted or renamed: canceled because its symbol ended",
        True,
    ),
    "model_id": Column(TEXT, "", True),
}
_FILL_COLUMNS = {
    "fill_id": Column(TEXT),
    "order_id": Column(TEXT),
    "symbol": Column(TEXT),
    "timestamp": Column(TIME, "start of the bar it happened in"),
    "side": Column(TEXT, "buy or sell"),
    "quantity": Column(REAL, "shares as of timestamp"),
    "price": Column(REAL),
    "reference_price": Column(REAL, "price before costs"),
    "fee": Column(REAL, "currency"),
    "slippage": Column(REAL, "currency per share, >= 0"),
    "liquidity": Column(TEXT, "taker or maker"),
}
_EQUITY_COLUMNS = {
    **_STAMP,
    "equity": Column(REAL),
    "cash": Column(REAL),
    "gross_exposure": Column(REAL, "currency"),
    "net_exposure": Column(REAL, "currency"),
    "drawdown": Column(REAL, "equity / peak - 1"),
}
_BACKTEST = {"backtest_id": Column(TEXT)}
_SESSION = {"session_id": Column(TEXT), "date": Column(DAY, "trading day")}
ORDERS = Table(
    "orders",
    "Every order a backtest decided, refused ones with the reason.",
    "strategy",
    ("backtest_id", "symbol", "timestamp", "order_id"),
    {**_BACKTEST, **_ORDER_COLUMNS},
)
FILLS = Table(
    "fills",
    "Every execution of a backtest.",
    "strategy",
    ("backtest_id", "symbol", "timestamp", "fill_id"),
    {**_BACKTEST, **_FILL_COLUMNS},
)
POSITION_ACTIONS = Table(
    "position_actions",
    "What splits, dividends, delistings and changes of symbol did to the positions of a backtest.",
    "strategy",
    ("backtest_id", "sequence"),
    {
        **_BACKTEST,
        "sequence": Column(
            WHOLE,
            "order in which they happened, before the fills of the same timestamp; what met a"
            " symbol without a bar comes first",
        ),
        "timestamp": Column(TIME, "start of the first bar that was met with it"),
        "symbol": Column(TEXT, "before a change of symbol"),
        "date": Column(
            DAY, "of the action; of a presumed delisting the day before it was presumed"
        ),
        "kind": Column(TEXT, "split, dividend, delisting, symbol_change or presumed_delisted"),
        "value": Column(
            REAL, "new shares per old share; cash per share; price paid per share", True
        ),
        "successor": Column(TEXT, "symbol after a change", True),
        "quantity_before": Column(REAL, "signed shares"),
        "quantity_after": Column(REAL, "signed shares"),
        "cash": Column(
            REAL, "paid to us, cash in lieu of a split's fractions too; negative when we paid"
        ),
    },
)
TRADES = Table(
    "trades",
    "Round trips, first in first out; open ones have a null exit.",
    "strategy",
    ("backtest_id", "symbol", "entry_timestamp", "trade_id"),
    {
        **_BACKTEST,
        "trade_id": Column(TEXT),
        "symbol": Column(TEXT),
        "side": Column(TEXT, "long or short"),
        "quantity": Column(REAL, "shares as of entry"),
        "entry_timestamp": Column(TIME),
        "entry_price": Column(REAL),
        "exit_timestamp": Column(TIME, "", True),
        "exit_price": Column(REAL, "", True),
        "exit_reason": Column(TEXT, "", True),
        "fees": Column(REAL, "currency"),
        "slippage": Column(REAL, "currency"),
        "pnl": Column(REAL, "net of fees", True),
        "return": Column(REAL, "pnl / entry value", True),
        "model_id": Column(TEXT, "", True),
    },
)
EQUITY = Table(
    "equity",
    "The portfolio at each bar's close.",
    "strategy",
    ("backtest_id", "timestamp"),
    {**_BACKTEST, **_EQUITY_COLUMNS},
)
METRICS = (
    "total_return",
    "annual_return",
    "annual_volatility",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "skew",
    "kurtosis",
    "turnover",
    "trades",
    "win_rate",
    "profit_factor",
    "average_trade_return",
    "fees",
    "slippage",
    "exposure",
    "time_in_market",
    "mean_gross_exposure",
)
_METRIC_NOTES = {
    "exposure": "mean_gross_exposure under its former name",
    "time_in_market": "share of bars at whose close a position was held",
    "mean_gross_exposure": "mean of gross_exposure / equity",
    "sharpe": "annualised",
}
BACKTESTS = Table(
    "backtests",
    "One row a backtest with every metric.",
    "strategy",
    ("backtest_id",),
    {
        **_BACKTEST,
        "strategy": Column(TEXT),
        "parameters": Column(TEXT, "JSON"),
        "start": Column(TIME),
        "end": Column(TIME),
        "initial_cash": Column(REAL),
        "participation": Column(REAL, "largest part of a bar's volume"),
        "zero_volume": Column(
            TEXT, "an order at a bar without volume: auto (by the instrument), fill or refuse", True
        ),
        **{name: Column(REAL, _METRIC_NOTES.get(name, ""), True) for name in METRICS},
    },
)
MONTE_CARLO = Table(
    "monte_carlo",
    "Final equity and drawdown of every resampled path.",
    "strategy",
    ("backtest_id", "scenario", "path"),
    {
        **_BACKTEST,
        "scenario": Column(TEXT, "none = undisturbed"),
        "method": Column(TEXT),
        "path": Column(WHOLE),
        "final_equity": Column(REAL),
        "max_drawdown": Column(REAL),
        "miss_probability": Column(REAL),
        "slippage_bps": Column(REAL),
        "anomaly_probability": Column(REAL),
        "block": Column(WHOLE, "trades"),
    },
)
TRIALS = Table(
    "trials",
    "Every configuration ever tried.",
    "strategy",
    ("trial_id",),
    {
        "trial_id": Column(TEXT),
        "strategy": Column(TEXT),
        "parameters": Column(TEXT, "JSON"),
        "evaluated_at": Column(TIME),
        "sharpe": Column(REAL, "annualised, as in backtests; null: it never traded", True),
        "observations": Column(WHOLE, "days"),
        "skew": Column(REAL, "", True),
        "kurtosis": Column(REAL, "", True),
    },
)
TRIAL_RETURNS = Table(
    "trial_returns",
    "Daily returns of every trial.",
    "strategy",
    ("trial_id", "timestamp"),
    {
        "trial_id": Column(TEXT),
        "timestamp": Column(TIME, "midnight UTC of the session"),
        "return": Column(REAL),
    },
)
OVERFITTING = Table(
    "overfitting",
    "How likely luck and search made the result.",
    "strategy",
    ("strategy",),
    {
        "strategy": Column(TEXT),
        "n_trials": Column(WHOLE),
        "psr": Column(REAL, "", True),
        "dsr": Column(REAL, "", True),
        "pbo": Column(REAL, "", True),
        "splits": Column(WHOLE),
        "spa_pvalue": Column(REAL, "", True),
        "min_track_record": Column(REAL, "days", True),
    },
)
EXECUTION_STRESS = Table(
    "execution_stress",
    "The backtest of a strategy run again with worse luck at the exchange, one row a draw.",
    "strategy",
    ("strategy", "draw"),
    {
        "strategy": Column(TEXT),
        "draw": Column(WHOLE),
        "noise_seed": Column(WHOLE, "of execution_noise"),
        "latency_bars": Column(WHOLE),
        "reject_probability": Column(REAL),
        "late_bar_probability": Column(REAL),
        "dropped_bar_probability": Column(REAL),
        "cost_multiple": Column(REAL, "of half spread and fees"),
        "trades": Column(WHOLE, "closed"),
        "total_return": Column(REAL),
        "max_drawdown": Column(REAL, "<= 0"),
        "final_equity": Column(REAL),
    },
)
REGIME_STABILITY = Table(
    "regime_stability",
    "How a strategy did in each regime.",
    "strategy",
    ("strategy", "trend", "volatility"),
    {
        "strategy": Column(TEXT),
        "trend": Column(TEXT),
        "volatility": Column(TEXT),
        "days": Column(WHOLE),
        "total_return": Column(REAL),
        "sharpe": Column(REAL, "annualised", True),
    },
)
UNIVERSE = Table(
    "universe",
    "Who was listed, as known then: a row holds from its date on until the security's next row.",
    "none",
    ("date", "symbol", "security_id"),
    {
        "date": Column(DAY, "from which it was known, before the open"),
        "symbol": Column(TEXT),
        "security_id": Column(
            TEXT,
            "the source's own id of the security behind the symbol; null where it has none",
            True,
        ),
        "listed": Column(DAY, "", True),
        "delisted": Column(DAY, "first day without trading", True),
        "shares": Column(REAL, "shares outstanding", True),
        "float": Column(REAL, "shares", True),
        "market_cap": Column(REAL, "currency", True),
        "sector": Column(TEXT, "", True),
    },
)
LISTINGS = Table(
    "listings",
    "Which security traded under which symbol from when to when, one row a version: what was"
    " learned of an end is a new row.",
    "none",
    ("security_id", "symbol", "valid_from", "known"),
    {
        "security_id": Column(TEXT, "the same through changes of symbol"),
        "symbol": Column(TEXT),
        "valid_from": Column(
            DAY, "first day under this symbol; null: before anything is known", True
        ),
        "valid_to": Column(DAY, "first day no longer; null: still valid, as known then", True),
        "listed": Column(DAY, "as the source states it", True),
        "delisted": Column(DAY, "first day without trading", True),
        "successor": Column(TEXT, "symbol that it continued under", True),
        "recovery": Column(REAL, "cash per share that a delisting paid; null: not stated", True),
        "reason": Column(TEXT, "listed, appeared, known, symbol_change or delisting"),
        "source": Column(TEXT, "where it was learned from"),
        "known": Column(DAY, "from which this version was known, before the open"),
    },
)
INSTRUMENTS = Table(
    "instruments",
    "The terms each symbol is traded by, one row a change: prices, quantities, barriers and fees"
    " are rounded by them.",
    "none",
    ("symbol", "valid_from"),
    {
        "symbol": Column(TEXT),
        "valid_from": Column(
            DAY, "first session date of these terms; the first terms hold before it too"
        ),
        "asset_class": Column(
            TEXT, one_of=("us_equity", "equity", "fx", "crypto", "future", "index")
        ),
        "venue": Column(TEXT, "exchange, where it is known", True),
        "calendar": Column(TEXT),
        "currency": Column(TEXT, "of prices and money, where it is known", True),
        "tick_size": Column(REAL, "smallest step of a price", above=0.0),
        "small_tick_size": Column(
            REAL, "step below small_tick_below; null: one step at all prices", True, above=0.0
        ),
        "small_tick_below": Column(REAL, "price", True, above=0.0),
        "price_precision": Column(WHOLE, "decimals of a price at tick_size"),
        "lot_size": Column(REAL, "smallest step of a quantity", above=0.0),
        "minimum_quantity": Column(REAL, "of an order", at_least=0.0),
        "minimum_notional": Column(REAL, "of an order, currency", at_least=0.0),
        "multiplier": Column(REAL, "value of one unit at a price of 1", above=0.0),
        "fee_unit": Column(REAL, "fees are rounded to it, currency", above=0.0),
        "shortable": Column(FLAG),
        "volume": Column(
            TEXT,
            "traded: participation goes by it; indicative: no common volume",
            one_of=("traded", "indicative"),
        ),
        "origin": Column(TEXT, "where the terms come from"),
    },
)
VERDICTS = Table(
    "verdicts",
    "Blocking checks that failed and have not passed since: nothing is made of such a partition"
    " until it is repaired or waived.",
    "none",
    ("asset", "period", "check_name"),
    {
        "asset": Column(TEXT),
        "period": Column(TEXT, "partition of the asset; all: every one"),
        "check_name": Column(TEXT),
        "judged_at": Column(TIME, "when it failed"),
        "content_hash": Column(TEXT, "of the partition that was judged", True),
        "offending_rows": Column(WHOLE),
        "finding": Column(TEXT, "the first of them in words"),
        "waived_at": Column(TIME, "", True),
        "waived_why": Column(TEXT, "", True),
    },
)
SCAN_CANDIDATES = Table(
    "scan_candidates",
    "Every symbol with every measure and every reason for rejection.",
    "day",
    ("date", "symbol"),
    {
        "date": Column(DAY),
        "as_of": Column(TIME, "knowledge time"),
        "symbol": Column(TEXT),
        "price": Column(REAL, "last known", True),
        "previous_close": Column(REAL, "regular, adjusted for a split of today", True),
        "gap": Column(REAL, "price / previous_close - 1", True),
        "absolute_gap": Column(REAL, "", True),
        "premarket_volume": Column(REAL, "shares"),
        "relative_volume": Column(
            REAL, "same clock window, up to 20 sessions, split-adjusted", True
        ),
        "dollar_volume": Column(REAL, "previous session", True),
        "float": Column(REAL, "shares", True),
        "sector": Column(TEXT, "", True),
        "history_sessions": Column(WHOLE),
        "score": Column(REAL, "", True),
        "passed": Column(FLAG),
        "rejected_by": Column(pl.List(pl.String()), "every rule it broke, rank_limit included"),
    },
)
SCAN_SELECTIONS = Table(
    "scan_selections",
    "The symbols a session watches.",
    "day",
    ("date", "rank"),
    {
        "date": Column(DAY),
        "as_of": Column(TIME),
        "rank": Column(WHOLE),
        "symbol": Column(TEXT),
        "score": Column(REAL),
    },
)
SESSION_ORDERS = Table(
    "session_orders",
    "Orders of live sessions.",
    "day",
    ("session_id", "symbol", "timestamp", "order_id"),
    {
        **_SESSION,
        "client_order_id": Column(TEXT, "unique: a pure function of session and intent"),
        **_ORDER_COLUMNS,
    },
)
SESSION_FILLS = Table(
    "session_fills",
    "Executions of live sessions.",
    "day",
    ("session_id", "symbol", "timestamp", "fill_id"),
    {**_SESSION, "client_order_id": Column(TEXT), **_FILL_COLUMNS},
)
SESSION_POSITIONS = Table(
    "session_positions",
    "Positions at the end of each session.",
    "day",
    ("session_id", "symbol"),
    {
        **_SESSION,
        "symbol": Column(TEXT),
        "quantity": Column(REAL, "signed shares"),
        "entry_price": Column(REAL),
        "last_price": Column(REAL, "", True),
        "stop_price": Column(REAL, "", True),
        "take_profit_price": Column(REAL, "", True),
    },
)
SESSION_EQUITY = Table(
    "session_equity",
    "The live portfolio at each bar's close.",
    "day",
    ("session_id", "timestamp"),
    {**_SESSION, **_EQUITY_COLUMNS},
)
SESSION_EVENTS = Table(
    "session_events",
    "Everything that happened, in order; the intent is written before submitted.",
    "day",
    ("session_id", "sequence"),
    {
        **_SESSION,
        "sequence": Column(WHOLE),
        "kind": Column(TEXT),
        "timestamp": Column(TIME, "when it happened"),
        "known_at": Column(TIME, "when we knew"),
        "client_order_id": Column(TEXT, "", True),
        "symbol": Column(TEXT, "", True),
        "detail": Column(TEXT, "JSON"),
    },
)
DIVERGENCE = Table(
    "divergence",
    "Live session against the backtest of the same day, order by order.",
    "day",
    ("session_id", "symbol", "timestamp", "kind", "key"),
    {
        **_SESSION,
        "kind": Column(TEXT, "order, fill or equity"),
        "key": Column(TEXT),
        "symbol": Column(TEXT),
        "timestamp": Column(TIME),
        "live": Column(TEXT, "JSON; null: missing there", True),
        "backtest": Column(TEXT, "JSON; null: missing there", True),
        "equal": Column(FLAG),
    },
)
COST_CALIBRATION = Table(
    "cost_calibration",
    "Costs fitted to recorded fills of a venue, and measured from quotes.",
    "none",
    ("symbol", "parameter", "source"),
    {
        "symbol": Column(TEXT, "*: all symbols together"),
        "parameter": Column(TEXT, "half_spread_bps or impact_coefficient, as in the settings"),
        "source": Column(TEXT, "fills or quotes"),
        "estimate": Column(REAL),
        "standard_error": Column(REAL, "null: held at 0, or too little to tell", True),
        "observations": Column(WHOLE, "orders in a bar, or quotes"),
        "first": Column(TIME, "of the observations"),
        "last": Column(TIME),
        "setting": Column(TEXT, "line of the settings file that takes the estimate over"),
    },
)
FEATURES = Table(
    "features",
    "One column a feature, on adjusted prices; null until warm.",
    "trading",
    ("symbol", "timestamp"),
    {"symbol": Column(TEXT), **_STAMP},
    more_columns=(
        "one more column per feature of [features] names, null until warm, and cusum_event (-1,"
        " 0, 1)"
    ),
)


def features_table(names: tuple[str, ...]) -> Table:
    """The features table for a chosen set of feature columns."""
    return replace(
        FEATURES, columns={**FEATURES.columns, **{name: Column(REAL, "", True) for name in names}}
    )


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        RAW_BARS,
        COVERAGE,
        FILE_ACCOUNTS,
        EXCHANGE_SESSIONS,
        BAR_GRID,
        BARS,
        QUARANTINE,
        QUALITY_WARNINGS,
        BAR_STATE,
        QUOTE_TICKS,
        TRADE_TICKS,
        TICK_COUNTS,
        CORPORATE_ACTIONS,
        DAILY_SUMMARY,
        GAPS,
        FEATURES,
        FEATURE_STATE,
        REGIMES,
        SIGNALS,
        LABELS,
        FOLDS,
        MODELS,
        PREDICTIONS,
        PROMOTIONS,
        ORDERS,
        FILLS,
        POSITION_ACTIONS,
        TRADES,
        EQUITY,
        BACKTESTS,
        MONTE_CARLO,
        TRIALS,
        TRIAL_RETURNS,
        OVERFITTING,
        EXECUTION_STRESS,
        REGIME_STABILITY,
        UNIVERSE,
        LISTINGS,
        INSTRUMENTS,
        VERDICTS,
        SCAN_CANDIDATES,
        SCAN_SELECTIONS,
        SESSION_ORDERS,
        SESSION_FILLS,
        SESSION_POSITIONS,
        SESSION_EQUITY,
        SESSION_EVENTS,
        DIVERGENCE,
        COST_CALIBRATION,
    )
}
