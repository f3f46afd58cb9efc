"""The simulated exchange as a server that speaks Alpaca's protocols; see docs/exchange.md."""
