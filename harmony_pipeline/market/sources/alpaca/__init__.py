"""Alpaca as a supplier of market data: `client` talks, `translate` is pure, `stream` listens,
`source` is the `MarketDataSource`.
"""
