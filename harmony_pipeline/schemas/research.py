"""From features to forecasts: regimes, signals, labels, models and the decisions of the gate."""

from dataclasses import replace

import polars as pl

from harmony_pipeline.schemas.table import FLAG, REAL, STAMP, TEXT, TIME, WHOLE, Column, Table

FEATURES = Table(
    "features",
    "One column a feature, on adjusted prices; null until warm.",
    "trading",
    ("symbol", "timestamp"),
    {"symbol": Column(TEXT), **STAMP},
    more_columns=(
        "one more column per feature of [features] names, null until warm, and cusum_event (-1,"
        " 0, 1)"
    ),
    compressible=False,
)


def features_table(names: tuple[str, ...]) -> Table:
    """The features table for a chosen set of feature columns."""
    return replace(
        FEATURES, columns={**FEATURES.columns, **{name: Column(REAL, "", True) for name in names}}
    )


FEATURE_STATE = Table(
    "feature_state",
    "Kernel state after the last bar of a period: what lets the next day continue.",
    "trading",
    ("symbol",),
    {
        "symbol": Column(TEXT),
        **STAMP,
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
        **STAMP,
        "known_at": Column(TIME, "the session's close"),
        "trend": Column(TEXT, "bull or bear", True),
        "volatility": Column(TEXT, "low or high", True),
        "index_level": Column(REAL, "benchmark, adjusted, 1.0 at its start"),
        "trend_average": Column(REAL, "moving average of index_level", True),
        "realised_volatility": Column(REAL, "annualised", True),
        "volatility_median": Column(REAL, "trailing median of realised_volatility", True),
        "hidden_state": Column(TEXT, "calm or turbulent: the likelier one of two", True),
        "turbulent_probability": Column(
            REAL, "filtered, of the turbulent state; fitted to earlier years", True
        ),
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
        **STAMP,
        "side": Column(pl.Int8(), "-1, 0, 1"),
        "strength": Column(REAL, "0 to 1"),
    },
)
LABELS = Table(
    "labels",
    "Outcome of every event, each known at its own end_timestamp.",
    "trading",
    ("horizon", "symbol", "timestamp"),
    {
        "symbol": Column(TEXT),
        "timestamp": Column(TIME, "the event's bar"),
        "horizon": Column(WHOLE, "bars, or sessions where labels.vertical says so"),
        "side": Column(pl.Int8(), "-1 or 1"),
        "entry_timestamp": Column(TIME, "bar of the entry, at its open or close", True),
        "entry_price": Column(REAL, "raw", True),
        "upper_barrier": Column(REAL, "raw price at entry; null without barriers", True),
        "lower_barrier": Column(REAL, "raw price at entry; null without barriers", True),
        "end_timestamp": Column(
            TIME, "end of the bar that settled it; null while unresolved", True
        ),
        "touched": Column(TEXT, "upper, lower or vertical", True),
        "return": Column(REAL, "in the direction of side, before costs", True),
        "label": Column(pl.Int8(), "1 when return > 0, or the trend has the side; else 0", True),
        "weight": Column(REAL, "average uniqueness, or the trend's absolute t-value", True),
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
        "recipe": Column(
            TEXT, "hash of how it was trained, but for the data; null: not known", True, added=True
        ),
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
        **STAMP,
        "probability": Column(REAL, "calibrated; null: the model cannot answer", True),
        "reason": Column(TEXT, "why there is no probability", True, added=True),
        "recipe": Column(TEXT, "of the model, as in models", True, added=True),
    },
)
CROSS_VALIDATION = Table(
    "cross_validation",
    "How the recipe of today forecasts on every path of the cross-validation.",
    "none",
    ("horizon", "path"),
    {
        "recipe": Column(TEXT, "as in models"),
        "horizon": Column(WHOLE, "bars"),
        "path": Column(WHOLE, "from 0"),
        "rows": Column(WHOLE, "settled events with a probability"),
        "brier_ratio": Column(REAL, "under 1: better than the base rate", True),
        "auc": Column(REAL, "", True),
        "calibration_error": Column(REAL, "", True),
        "taken": Column(WHOLE, "events with at least model.threshold"),
        "mean_return": Column(REAL, "of those, before costs", True),
        "sharpe": Column(REAL, "annualised, of their sum by day, before costs", True),
    },
)
DRIFT = Table(
    "drift",
    "How far each period's inputs and probabilities were from those of the training before it.",
    "none",
    ("horizon", "period", "measure"),
    {
        "period": Column(TEXT),
        "horizon": Column(WHOLE, "bars"),
        "model_id": Column(TEXT),
        "measure": Column(TEXT, "name of an input, probability, or calibration"),
        "rows": Column(WHOLE, "events of the period"),
        "value": Column(
            REAL, "stability index; of calibration Spiegelhalter's normal statistic", True
        ),
        "threshold": Column(REAL, "what chance alone reaches once in a hundred", True),
        "drifted": Column(FLAG, "beyond the threshold and, of an index, beyond 0.25"),
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
        "strategy": Column(TEXT, "whose backtest was judged; null: not known", True, added=True),
        "recipe": Column(TEXT, "of the model, as in models", True, added=True),
        "trial_id": Column(
            TEXT, "of the backtest that was judged, as in trials; null: not known", True, added=True
        ),
        "reason": Column(TEXT, "why a person decided so; null: the gate decided", True, added=True),
    },
)
