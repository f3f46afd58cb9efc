"""Every table of the lake, declared once: columns, types, units, keys.

From here come the empty tables that make views work on an empty lake, the pandera checks that guard
each write, and the column notes in the docs. `timestamp` is always the *start* of a bar in UTC. A
renamed column is a breaking change; more columns are welcome. `features` has one more column per
feature, so its schema is made by `features_table(names)`.

A table stands in the module of its subject and, by name, in `registry.TABLES`.
"""

from harmony_pipeline.schemas.bars import (
    BAR_GRID,
    BAR_STATE,
    BARS,
    COVERAGE,
    DAILY_SUMMARY,
    FILE_ACCOUNTS,
    GAPS,
    QUALITY_WARNINGS,
    QUARANTINE,
    RAW_BARS,
)
from harmony_pipeline.schemas.reference import (
    CORPORATE_ACTIONS,
    EXCHANGE_SESSIONS,
    INSTRUMENTS,
    LISTINGS,
    UNIVERSE,
)
from harmony_pipeline.schemas.registry import TABLES
from harmony_pipeline.schemas.research import (
    CROSS_VALIDATION,
    FEATURE_STATE,
    FEATURES,
    FOLDS,
    LABELS,
    MODELS,
    PREDICTIONS,
    PROMOTIONS,
    REGIMES,
    SIGNALS,
    features_table,
)
from harmony_pipeline.schemas.robustness import (
    EXECUTION_STRESS,
    MONTE_CARLO,
    OVERFITTING,
    REGIME_STABILITY,
    TRIAL_RETURNS,
    TRIALS,
)
from harmony_pipeline.schemas.scanner import SCAN_CANDIDATES, SCAN_SELECTIONS
from harmony_pipeline.schemas.table import (
    DAY,
    FLAG,
    REAL,
    TEXT,
    TIME,
    WHOLE,
    Column,
    PeriodKind,
    Table,
)
from harmony_pipeline.schemas.ticks import QUOTE_TICKS, TICK_COUNTS, TRADE_TICKS
from harmony_pipeline.schemas.trading import (
    BACKTESTS,
    COST_CALIBRATION,
    DIVERGENCE,
    EQUITY,
    FILLS,
    METRICS,
    ORDER_EVENTS,
    ORDERS,
    POSITION_ACTIONS,
    SESSION_EQUITY,
    SESSION_EVENTS,
    SESSION_FILLS,
    SESSION_ORDERS,
    SESSION_POSITIONS,
    TRADES,
)
from harmony_pipeline.schemas.verdicts import VERDICTS

__all__ = [
    "BACKTESTS",
    "BARS",
    "BAR_GRID",
    "BAR_STATE",
    "CORPORATE_ACTIONS",
    "COST_CALIBRATION",
    "COVERAGE",
    "CROSS_VALIDATION",
    "DAILY_SUMMARY",
    "DAY",
    "DIVERGENCE",
    "EQUITY",
    "EXCHANGE_SESSIONS",
    "EXECUTION_STRESS",
    "FEATURES",
    "FEATURE_STATE",
    "FILE_ACCOUNTS",
    "FILLS",
    "FLAG",
    "FOLDS",
    "GAPS",
    "INSTRUMENTS",
    "LABELS",
    "LISTINGS",
    "METRICS",
    "MODELS",
    "MONTE_CARLO",
    "ORDERS",
    "ORDER_EVENTS",
    "OVERFITTING",
    "POSITION_ACTIONS",
    "PREDICTIONS",
    "PROMOTIONS",
    "QUALITY_WARNINGS",
    "QUARANTINE",
    "QUOTE_TICKS",
    "RAW_BARS",
    "REAL",
    "REGIMES",
    "REGIME_STABILITY",
    "SCAN_CANDIDATES",
    "SCAN_SELECTIONS",
    "SESSION_EQUITY",
    "SESSION_EVENTS",
    "SESSION_FILLS",
    "SESSION_ORDERS",
    "SESSION_POSITIONS",
    "SIGNALS",
    "TABLES",
    "TEXT",
    "TICK_COUNTS",
    "TIME",
    "TRADES",
    "TRADE_TICKS",
    "TRIALS",
    "TRIAL_RETURNS",
    "UNIVERSE",
    "VERDICTS",
    "WHOLE",
    "Column",
    "PeriodKind",
    "Table",
    "features_table",
]
