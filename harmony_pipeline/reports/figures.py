"""Every picture by name: frames in, PNG bytes out.

A picture of nothing is a picture that says so, never an error. Look and helpers are in `style.py`,
the pictures themselves in the file of their subject.
"""

from harmony_pipeline.reports.model_figures import (
    feature_importance,
    permutation_bars,
    reliability_curve,
    scanner_table,
    shap_summary,
)
from harmony_pipeline.reports.performance_figures import (
    equity_comparison,
    equity_curve,
    regime_bars,
    trade_return_histogram,
)
from harmony_pipeline.reports.robustness_figures import (
    fold_timeline,
    monte_carlo_fan,
    monte_carlo_outcomes,
    sensitivity_heatmap,
)
from harmony_pipeline.reports.style import as_markdown, empty_figure, image_link
from harmony_pipeline.reports.trade_figures import trade_on_candles

__all__ = [
    "as_markdown",
    "empty_figure",
    "equity_comparison",
    "equity_curve",
    "feature_importance",
    "fold_timeline",
    "image_link",
    "monte_carlo_fan",
    "monte_carlo_outcomes",
    "permutation_bars",
    "regime_bars",
    "reliability_curve",
    "scanner_table",
    "sensitivity_heatmap",
    "shap_summary",
    "trade_on_candles",
    "trade_return_histogram",
]
