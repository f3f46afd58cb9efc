"""One file an implementation of `Broker`."""
