"""What backtest and session share: decisions, position accounting, parameters, state, exit rules
and the types of the kernels.
"""
