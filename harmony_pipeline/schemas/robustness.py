"""How far a backtest can be believed: resampled paths, trials, overfitting, stress, regimes."""

from harmony_pipeline.schemas.table import FLAG, REAL, TEXT, TIME, WHOLE, Column, Table

MONTE_CARLO = Table(
    "monte_carlo",
    "Final equity and drawdown of every resampled path.",
    "strategy",
    ("backtest_id", "scenario", "path"),
    {
        "backtest_id": Column(TEXT),
        "scenario": Column(TEXT, "none = undisturbed"),
        "method": Column(TEXT),
        "path": Column(WHOLE),
        "final_equity": Column(REAL),
        "max_drawdown": Column(REAL),
        "miss_probability": Column(REAL),
        "slippage_bps": Column(REAL),
        "anomaly_probability": Column(REAL),
        "block": Column(WHOLE, "days of a block in the mean; 1: trades one by one"),
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
        "configuration": Column(
            TEXT, "hash of every setting behind the returns; null: not known", True, added=True
        ),
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
        "n_trials": Column(WHOLE, "configurations of every strategy ever tried in this lake"),
        "effective_trials": Column(REAL, "independent trials that are as lucky", True, added=True),
        "observations": Column(WHOLE, "days", True, added=True),
        "psr": Column(REAL, "", True),
        "dsr": Column(REAL, "", True),
        "pbo": Column(REAL, "", True),
        "splits": Column(WHOLE),
        "spa_pvalue": Column(REAL, "", True),
        "superior_trials": Column(
            WHOLE,
            "trials that beat doing nothing, at 5 % for all together (StepM)",
            True,
            added=True,
        ),
        "is_superior": Column(FLAG, "whether the chosen configuration does", True, added=True),
        "min_track_record": Column(REAL, "days, with one more day of worst_loss", True),
        "worst_loss": Column(
            REAL, "fraction of equity, at the stops or seen in a day", True, added=True
        ),
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
