"""Validation of raw rows: the rules, the kernels that apply them, the state that they keep and the
messages of their verdicts.
"""
