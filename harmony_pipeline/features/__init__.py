"""Indicator kernels as folds over time, the feature set built from them, and market regimes."""
