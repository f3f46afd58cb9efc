"""Forecasters, walk-forward training, the registry of trained models and the promotion gate."""
