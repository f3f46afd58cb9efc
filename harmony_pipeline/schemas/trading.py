"""Orders, fills, positions and equity of backtests and of live sessions, under the same names in
both, and the costs that fills showed.
"""

from harmony_pipeline.schemas.table import DAY, FLAG, REAL, STAMP, TEXT, TIME, WHOLE, Column, Table

_ORDER_COLUMNS = {
    "order_id": Column(TEXT, "unique over the lake: backtest or account, symbol, decision, role"),
    "parent_id": Column(
        TEXT, "entry order of an exit; of a session perhaps one of an earlier day", True
    ),
    "symbol": Column(TEXT),
    "signal_timestamp": Column(TIME, "start of the signal's bar; null over quotes", True),
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
    "time_in_force": Column(TEXT, "ioc, day, gtc, cls"),
    "status": Column(TEXT),
    "reason": Column(
        TEXT,
        "why it was placed, or refused; delisted or renamed: canceled because its symbol ended",
        True,
    ),
    "verdict": Column(
        TEXT, "what the risk engine answered: approve, resize, queue, refuse, halt; entries", True
    ),
    "risk_limit": Column(TEXT, "the limit that made it smaller, or refused it", True),
    "wanted_quantity": Column(
        REAL,
        "shares of an entry before the limits; null: refused before its size was asked for",
        True,
    ),
    "model_id": Column(TEXT, "", True),
}
_FILL_COLUMNS = {
    "fill_id": Column(TEXT),
    "order_id": Column(TEXT),
    "symbol": Column(TEXT),
    "timestamp": Column(TIME, "start of the bar it happened in; over quotes the moment"),
    "side": Column(TEXT, "buy or sell"),
    "quantity": Column(REAL, "shares as of timestamp"),
    "price": Column(REAL),
    "reference_price": Column(REAL, "price before costs"),
    "fee": Column(REAL, "currency"),
    "slippage": Column(REAL, "currency per share, >= 0"),
    "liquidity": Column(TEXT, "taker or maker"),
}
_EQUITY_COLUMNS = {
    **STAMP,
    "equity": Column(REAL),
    "cash": Column(REAL),
    "gross_exposure": Column(REAL, "currency"),
    "net_exposure": Column(REAL, "currency"),
    "drawdown": Column(REAL, "equity / peak - 1"),
}
_BACKTEST = {"backtest_id": Column(TEXT)}
_STRATEGY = {
    "strategy": Column(TEXT, "whose it is: of a portfolio, one of its strategies", nullable=True)
}
_SESSION = {"session_id": Column(TEXT), "date": Column(DAY, "trading day")}
ORDERS = Table(
    "orders",
    "Every order a backtest decided, refused ones with the reason.",
    "strategy",
    ("backtest_id", "symbol", "timestamp", "order_id"),
    {**_BACKTEST, **_ORDER_COLUMNS, **_STRATEGY},
)
FILLS = Table(
    "fills",
    "Every execution of a backtest.",
    "strategy",
    ("backtest_id", "symbol", "timestamp", "fill_id"),
    {**_BACKTEST, **_FILL_COLUMNS, **_STRATEGY},
)
ORDER_EVENTS = Table(
    "order_events",
    "Every transition of every order of a backtest.",
    "strategy",
    ("backtest_id", "order_id", "sequence"),
    {
        **_BACKTEST,
        "order_id": Column(TEXT),
        "symbol": Column(TEXT),
        "sequence": Column(WHOLE, "of the order's events, from 1"),
        "timestamp": Column(TIME, "start of the bar it happened in, or the moment itself"),
        "known_at": Column(TIME, "when it could be known"),
        "event": Column(
            TEXT,
            "intent, approved, resized, queued, refused, submitted, accepted, triggered, adjusted"
            " (by a split; over quotes also a dividend), partially_filled, filled, canceled,"
            " expired, rejected; over quotes also cancel_requested",
        ),
        "from_status": Column(TEXT, "null: the order's first event", True),
        "to_status": Column(TEXT),
        "quantity": Column(
            REAL,
            "of a fill its shares; of an intent what was wanted; of an adjustment the order's new"
            " total; of an end what was not filled; else what the order is for",
        ),
        "price": Column(REAL, "of a fill; of a trigger the price that reached it; a level", True),
        "reason": Column(TEXT, "of a verdict the limit; of an end why", True),
    },
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
        **_STRATEGY,
    },
)
SIZING_POLICIES = Table(
    "sizing_policies",
    "What each multiplier of the position is worth by the learned policy of size (risk.sizing ="
    " bandit), period by period; null weights: too little was settled.",
    "strategy",
    ("period", "multiplier"),
    {
        "period": Column(TEXT, "retraining period in which it is in force"),
        "since": Column(DAY, "first date of that period"),
        "multiplier": Column(REAL, "part of the volatility target", above=0.0),
        "trades": Column(WHOLE, "settled trades learned from, all before the period", at_least=0),
        "constant": Column(REAL, "weight", True),
        "edge": Column(REAL, "weight of the model's edge", True),
        "move": Column(REAL, "weight of the trade's deviation", True),
        "unrest": Column(REAL, "weight of the account's recent volatility", True),
        "drawdown": Column(REAL, "weight of the drawdown", True),
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
        **_STRATEGY,
    },
)
EQUITY = Table(
    "equity",
    "The portfolio at each bar's close; over quotes at the end of each minute.",
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
        "strategy": Column(TEXT, "or portfolio"),
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
SESSION_ORDERS = Table(
    "session_orders",
    "Orders of live sessions.",
    "day",
    ("session_id", "symbol", "timestamp", "order_id"),
    {
        **_SESSION,
        "client_order_id": Column(TEXT, "unique: a pure function of session and intent"),
        **_ORDER_COLUMNS,
        **_STRATEGY,
    },
)
SESSION_FILLS = Table(
    "session_fills",
    "Executions of live sessions.",
    "day",
    ("session_id", "symbol", "timestamp", "fill_id"),
    {**_SESSION, "client_order_id": Column(TEXT), **_FILL_COLUMNS, **_STRATEGY},
)
SESSION_POSITIONS = Table(
    "session_positions",
    "Positions at the end of each session, of each strategy where several share the account.",
    "day",
    ("session_id", "symbol", "strategy"),
    {
        **_SESSION,
        "symbol": Column(TEXT),
        "quantity": Column(REAL, "signed shares"),
        "entry_price": Column(REAL),
        "last_price": Column(REAL, "", True),
        "stop_price": Column(REAL, "", True),
        "take_profit_price": Column(REAL, "", True),
        **_STRATEGY,
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
        "strategy": Column(TEXT, "whose order or fill; null: equity, which is the account's", True),
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
