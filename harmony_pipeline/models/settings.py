"""How models are trained and what they must prove before they may trade."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class SearchSettings(FrozenSettings):
    """Hyper-parameter search inside each training window; see models/search.py."""

    trials: int = Field(0, ge=0, le=1000, description="sets of parameters to try; 0 is off")
    groups: int = Field(
        4, ge=3, le=20, description="parts of the fitted events, each once the test"
    )


class ModelSettings(FrozenSettings):
    """Walk-forward training: one model a retraining period and horizon."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"oldest_weight", "search", "blend_horizons", "hidden_regime", "bins"}
    )

    forecaster: str = "harmony_pipeline.models.gradient_boosting:GradientBoosting"
    parameters: dict[str, Any] = Field({}, description="over the forecaster's own defaults")
    seed: int = 11
    minimum_train_rows: int = Field(500, ge=20)
    maximum_train_days: int | None = Field(None, description="rolling window; none means expanding")
    embargo_bars: int = Field(
        8, ge=0, description="bars between the last training outcome and the test period"
    )
    oldest_weight: float = Field(
        1.0,
        gt=-1.0,
        le=1.0,
        description=(
            "part of its weight that the oldest event to fit keeps; 1: no decay; below 0: that part"
            " of the history is not fitted to"
        ),
    )
    calibration_fraction: float = Field(
        0.25, gt=0.0, lt=0.9, description="latest part of the training rows, kept for calibration"
    )
    trade_horizon_bars: int | None = Field(
        None, description="horizon whose model trades; none means the shortest"
    )
    threshold: float = Field(
        0.55, ge=0.0, le=1.0, description="probability below which no trade is taken"
    )
    blend_horizons: bool = Field(
        default=False,
        description="the traded horizon's model is a blend of the models of all horizons",
    )
    hidden_regime: bool = Field(
        default=False,
        description="the probability of the turbulent state (table regimes) is an input, too",
    )
    bins: Literal["each_window", "first_window"] = Field(
        "each_window",
        description=(
            "where trees may split an input: bins of each training window, or of the first one for"
            " all, which is faster"
        ),
    )
    search: SearchSettings = SearchSettings()


class CrossValidationSettings(FrozenSettings):
    """Combinatorial purged cross-validation; see models/cross_validation.py."""

    groups: int = Field(
        6, ge=3, le=20, description="parts of the history, of equal numbers of events"
    )
    test_groups: int = Field(
        2,
        ge=1,
        description="of them that each model leaves out and is tested on; fewer than groups",
    )


class GateSettings(FrozenSettings):
    """The written rules of promotion; a model passes all of them or stays where it is."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "cross_validation_quantile",
            "minimum_cross_validation_sharpe",
            "maximum_input_drift",
            "maximum_calibration_drift",
            "drift_rows",
        }
    )

    minimum_trades: int = Field(100, ge=1)
    minimum_periods: int = Field(3, ge=1, description="walk-forward periods with predictions")
    minimum_days: int = Field(252, ge=1, description="days of out-of-sample returns")
    minimum_deflated_sharpe: float = Field(
        0.95,
        ge=0.0,
        le=1.0,
        description=(
            "probability that the Sharpe ratio beats the best of all trials by chance; over all"
            " looks together, so that a single one asks more"
        ),
    )
    minimum_probabilistic_sharpe: float = Field(
        0.95, ge=0.0, le=1.0, description="the same against zero, as if nothing else had been tried"
    )
    spending_half_days: int = Field(
        252,
        ge=1,
        description="days of returns by which looks may have spent half of the allowed error",
    )
    maximum_chance_sharpe: float = Field(
        2.0,
        gt=0.0,
        description=(
            "annual Sharpe ratio that luck may be expected to reach with so many trials in so many"
            " days; a longer record lowers it"
        ),
    )
    maximum_brier_ratio: float = Field(
        1.0, gt=0.0, description="Brier score over that of the base rate"
    )
    maximum_forecast_pvalue: float = Field(
        0.05, gt=0.0, le=1.0, description="day-block test that the forecasts beat the base rate"
    )
    maximum_calibration_error: float = Field(0.05, gt=0.0, le=1.0)
    cross_validation_quantile: float = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="share of the cross-validation's paths that may earn less than the minimum",
    )
    minimum_cross_validation_sharpe: float | None = Field(
        None,
        description=(
            "that quantile of the annual Sharpe ratios of the cross-validation's paths; none: not"
            " asked"
        ),
    )
    maximum_input_drift: float | None = Field(
        None,
        ge=0.0,
        description=(
            "largest stability index of an input between training and newest period, where it is"
            " beyond chance; none: not asked"
        ),
    )
    maximum_calibration_drift: float | None = Field(
        None,
        ge=0.0,
        description=(
            "size of the normal statistic of the newest period's calibration; none: not asked"
        ),
    )
    drift_rows: int = Field(
        100, ge=1, description="events of a period from which its drift is judged"
    )
    monte_carlo_quantile: float = Field(
        0.5,
        gt=0.0,
        lt=1.0,
        description="share of the stressed histories that may return less than the minimum",
    )
    minimum_monte_carlo_return: float = Field(
        0.0, description="that quantile of the stressed final return"
    )
    maximum_drawdown_p95: float = Field(
        0.30, gt=0.0, le=1.0, description="95 % quantile of the stressed maximum drawdown"
    )
    maximum_pbo: float = Field(
        0.50, ge=0.0, le=1.0, description="probability of backtest overfitting"
    )
