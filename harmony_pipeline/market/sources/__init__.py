"""Where bars come from: one file an implementation of `MarketDataSource`."""
