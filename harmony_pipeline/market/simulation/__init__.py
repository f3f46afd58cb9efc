"""Parts of the simulated market: random keys, companies, the clock, volatility, prices, coarser
bars.
"""
