"""How an order becomes fills: costs, matching, lifecycle, simulated exchange."""
