"""The parts of the simulated market: chance, companies, the clock, volatility, the walk of prices, coarser bars."""
