"""Which symbols deserve attention today, and why every other one does not."""
