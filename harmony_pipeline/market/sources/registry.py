"""From `market.source` in the settings to a source that can be asked."""

from inspect import isabstract
from pathlib import Path

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.import_paths import import_object
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
    "mt5": "harmony_pipeline.market.sources.mt5:Mt5Source",
    "replay": "harmony_pipeline.market.sources.replay:ReplaySource",
}
"""Where each source that has a short name lives; listed for reports, `build_source` knows how each
is made.
"""


def build_source(settings: MarketSettings, base: Path) -> MarketDataSource:
    """The source that `settings.source` names: one of BUILT_IN (docs/sources.md), or
    `module:Class`, which is called as Class(settings, base).

    With `settings.ticks.bars` its trades make the bars. `base` is the folder that relative paths
    start from. Raises ConfigError when the name leads nowhere.
    """
    if settings.ticks.makes_bars:
        from harmony_pipeline.market.sources.trade_bars import TradeBarSource

        return TradeBarSource(_named_source(_as_it_is(settings), base), settings)
    return _named_source(settings, base)


def _as_it_is(settings: MarketSettings) -> MarketSettings:
    """The settings of a source whose trades make bars: its own are never asked for. The simulated
    market is one of minutes, of which its trades are made.
    """
    own = "1Min" if settings.source == "simulated" else settings.timeframe
    return settings.model_copy(
        update={"timeframe": own, "ticks": settings.ticks.model_copy(update={"bars": "none"})}
    )


def _named_source(settings: MarketSettings, base: Path) -> MarketDataSource:
    if settings.source == "files":
        from harmony_pipeline.market.sources.files import FileSource

        return FileSource(settings.files, Calendar.of(settings.calendar), base, settings.timeframe)
    if settings.source == "simulated":
        source: MarketDataSource = import_object(SIMULATED, "market.source")(
            settings.simulated, settings
        )
        return source
    if settings.source == "yahoo":
        from harmony_pipeline.market.sources.yahoo import YahooSource

        return YahooSource(settings)
    if settings.source == "crypto":
        from harmony_pipeline.market.sources.crypto import CryptoSource

        return CryptoSource(settings)
    if settings.source == "mt5":
        from harmony_pipeline.market.sources.mt5 import Mt5Source

        return Mt5Source(settings)
    if settings.source == "replay":
        from harmony_pipeline.market.sources.replay import ReplaySource

        return ReplaySource.of(settings, base)
    if settings.source == "alpaca":
        from harmony_pipeline.market.sources.alpaca.source import AlpacaSource

        return AlpacaSource(settings.alpaca, settings)
    kind = import_object(settings.source, "market.source", tuple(BUILT_IN))
    if missing := sorted(kind.__abstractmethods__) if isabstract(kind) else []:
        raise ConfigError(
            f"market.source = '{settings.source}': has no {' and no '.join(missing)}: define it"
            " (docs/sources.md)"
        )
    chosen = kind(settings, base)
    if not isinstance(chosen, MarketDataSource):
        raise ConfigError(
            f"market.source = '{settings.source}': no MarketDataSource: inherit"
            " harmony_pipeline.market.sources.base.MarketDataSource and declare in `capabilities`"
            " what the source can do (docs/sources.md)"
        )
    return chosen
