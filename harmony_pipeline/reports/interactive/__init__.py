"""Self-contained interactive pages: a backtest on one page, and strategies beside each other.

`charts` and `comparison_charts` draw with plotly, `candles` packs the bars around trades, `sheet`
and `comparison` make the pages. plotly.js is inside each page once; nothing is loaded from a
network.
"""
