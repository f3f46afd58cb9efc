"""Adversarial tests of a backtest: Monte Carlo, overfitting statistics, sensitivity."""
