"""The pages of the reference: what each is about, and whose docstrings it shows."""

from typing import NamedTuple


class Reference(NamedTuple):
    """One page: name, heading, what it is about, and the objects by their import path below
    `harmony_pipeline`. `path:a,b` shows some members alone.
    """

    name: str
    heading: str
    about: str
    objects: tuple[str, ...]


PAGES = (
    Reference(
        "python",
        "harmony_pipeline",
        "What scripts and notebooks use: `import harmony_pipeline as h`. See [from Python]"
        "(../python.md) for examples.",
        (
            "api.open_lake", "api.settings", "api.show", "api.OpenLake", "api.Backtest",
            "api.Comparison",
        ),
    ),
    Reference(
        "errors",
        "Errors",
        "What can be raised, by what the caller does next.",
        ("errors",),
    ),
    Reference(
        "strategies",
        "Strategies",
        "The contract of a strategy of columns and of a state machine. See the [guide]"
        "(../guides/strategy.md).",
        (
            "strategies.base.Strategy", "strategies.base.Rowwise", "strategies.base.warm_signals",
            "strategies.base.rowwise_signals", "strategies.machines.StateMachine",
            "strategies.machines.HandlesFills", "strategies.machines.HandlesQuotes",
            "strategies.machines.HandlesTimers", "strategies.machines.run_events",
            "strategies.events", "strategies.indicators",
            "testing.strategy_contract.StrategyContract",
        ),
    ),
    Reference(
        "features",
        "Features",
        "An indicator, a set of columns, and expressions checked for look-ahead. See the [guide]"
        "(../guides/feature.md).",
        (
            "features.catalog.FeatureSet", "features.catalog.FeatureColumn",
            "features.indicator.Indicator", "features.catalog.register_own",
            "features.compute.compute_features", "features.expressions.expression_features",
            "features.tick_columns.tick_columns", "robustness.look_ahead",
            "testing.feature_contract.FeatureContract",
        ),
    ),
    Reference(
        "labels",
        "Labels",
        "What became of an event. See the [guide](../guides/label.md).",
        ("labels.settings.LabelSettings", "labels.label_table.label_table"),
    ),
    Reference(
        "models",
        "Models",
        "The contract of a forecaster. See the [guide](../guides/model.md).",
        (
            "models.base.Forecaster", "models.base.Model", "models.base.Range",
            "models.samples.Samples", "models.base.validate_parameters",
            "testing.forecaster_contract.ForecasterContract",
        ),
    ),
    Reference(
        "scanners",
        "Scanners",
        "The contract of a scanner. See the [guide](../guides/scanner.md).",
        (
            "scanner.base.Scanner", "scanner.base.ScanInputs", "scanner.rules",
            "scanner.measures.measure", "testing.scanner_contract.ScannerContract",
        ),
    ),
    Reference(
        "sources",
        "Market data",
        "The contract of a source of bars. See the [guide](../guides/venue.md).",
        (
            "market.sources.base", "testing.source_contract.SourceContract",
            "testing.tick_contract.TickContract",
        ),
    ),
    Reference(
        "brokers",
        "Brokers",
        "The contract of a broker. See the [guide](../guides/venue.md).",
        ("execution.brokers.base", "testing.broker_contract.BrokerContract"),
    ),
    Reference(
        "execution",
        "Matching and order book",
        "Orders against bars, quotes and trades; see [matching](../matching.md) and [the order"
        " book](../order-book.md).",
        (
            "execution.matching_engine.MatchingEngine", "execution.matching_engine.EngineSettings",
            "execution.order_types", "execution.order_book.OrderBook",
            "execution.order_book.operations", "execution.order_book.ticks_of",
        ),
    ),
    Reference(
        "lake",
        "The lake",
        "Tables, versions and writers; see [the lake](../lake.md).",
        ("lake.lake.Lake", "lake.lake.PartitionVersion"),
    ),
)  # fmt: skip


def reference_page(page: Reference) -> str:
    """The Markdown of one page, for mkdocstrings."""
    shown = "\n\n".join(f"::: harmony_pipeline.{name}" for name in page.objects)
    return f"# {page.heading}\n\n{page.about}\n\n{shown}\n"
