"""Quotes and trades: validation, sale conditions, bars made of trades, and the quote before each
trade.
"""
