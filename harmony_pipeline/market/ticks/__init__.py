"""Quotes and trades: which of them are kept, what a trade's conditions let it set, bars made of them, and the quote that stood before each."""
