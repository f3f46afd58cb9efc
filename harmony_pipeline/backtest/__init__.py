"""The portfolio simulator and the metrics of what it did."""
