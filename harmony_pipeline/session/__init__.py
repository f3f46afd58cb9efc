"""The live paper-trading session: streams, ledger, reconciliation, recovery."""
