"""From `market.source` in the settings to a source that can be asked."""

from importlib import import_module
from pathlib import Path
from typing import Any

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import MarketDataSource

SIMULATED = "harmony_pipeline.market.sources.simulated:SimulatedSource"
BUILT_IN = {
    "simulated": SIMULATED,
    "files": "harmony_pipeline.market.sources.files:FileSource",
    "alpaca": "harmony_pipeline.market.sources.alpaca.source:AlpacaSource",
    "yahoo": "harmony_pipeline.market.sources.yahoo:YahooSource",
    "crypto": "harmony_pipeline.market.sources.crypto:CryptoSource",
    "replay": "harmony_pipeline.market.sources.replay:ReplaySource",
}
"""Where each source that has a short name lives; listed for reports, `build_source` knows how each is made."""


def build_source(settings: MarketSettings, base: Path) -> MarketDataSource:
    """The source that `settings.source` names: one of BUILT_IN (docs/sources.md), or `module:Class`, which is called as Class(settings, base).

    `base` is the folder that relative paths start from. Raises ConfigError when the name leads nowhere.
    """
    if settings.source == "files":
        from harmony_pipeline.market.sources.files import FileSource

        return FileSource(settings.files, Calendar.named(settings.calendar), base, settings.timeframe)
    if settings.source == "simulated":
        source: MarketDataSource = _imported(SIMULATED)(settings.simulated, settings)
        return source
    if settings.source == "yahoo":
        from harmony_pipeline.market.sources.yahoo import YahooSource

        return YahooSource(settings)
    if settings.source == "crypto":
        from harmony_pipeline.market.sources.crypto import CryptoSource

        return CryptoSource(settings)
    if settings.source == "replay":
        from harmony_pipeline.market.sources.replay import ReplaySource

        return ReplaySource.of(settings, base)
    if settings.source == "alpaca":
        from harmony_pipeline.market.sources.alpaca.source import AlpacaSource

        return AlpacaSource(settings.alpaca, settings)
    chosen = _imported(settings.source)(settings, base)
    if not isinstance(chosen, MarketDataSource):
        raise ConfigError(
            f"market.source is '{settings.source}', which lacks a method of MarketDataSource: it needs name, bars, stream, corporate_actions and universe"
        )
    return chosen


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise ConfigError(f"market.source is '{path}': write {', '.join(BUILT_IN)}, or an import path like package.module:Class")
    try:
        return getattr(import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(f"market.source is '{path}', but {module} cannot be imported ({error}): correct the name or install the package") from error
    except AttributeError:
        raise ConfigError(f"market.source is '{path}', but {module} has no {attribute}: correct the name after the colon") from None
