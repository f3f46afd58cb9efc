"""The table of columns that compare symbols: those that take the name of another column, and those
of the market.

`cross_rank_NAME` is the rank of NAME among the symbols that have a bar at the same moment, and NAME
is any column that compares none itself. What the market is, and where the sector of a symbol comes
from, is part of the feature set (`Peers`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from harmony_pipeline.features.indicator import Indicator
from harmony_pipeline.features.kernel_inputs import pairs_state_size

_SHARPE = "Sharpe, Management Science 9, 1963"
_MARKET = "the benchmark's, or the mean of all symbols with a bar at that moment"


@dataclass(frozen=True)
class Peers:
    """`benchmark`: the symbol whose columns are the market's; None: the mean of all symbols.
    `sectors`: the sector of a symbol for all time, of those that have one. `sectors_as_known`: none
    of these; the sectors that were known on the day of each bar come with the bars.
    """

    benchmark: str | None = None
    sectors: Mapping[str, str] = field(default_factory=dict)
    sectors_as_known: bool = False

    @property
    def parts(self) -> tuple[object, ...]:
        """What a hash covers, but for `sectors_as_known`, which matters to columns of a sector
        alone.
        """
        return self.benchmark, tuple(sorted(self.sectors.items()))

    def sector_number(self, symbol: str) -> int:
        """The place of the symbol's sector among all; -1: none is known."""
        return self._numbers[self.sectors[symbol]] if symbol in self.sectors else -1

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(sorted(set(self.sectors.values())))}


NO_PEERS = Peers()


def _none(*_: int) -> int:
    return 0


def _of_a_column(kind: str, note: str, source: str, unit: str) -> Indicator:
    kernel, warm_up = f"cross_section:{kind}", "as NAME"
    return Indicator(
        kind, ("NAME",), kernel, _none, note, source, warm_up, unit, across=True, smallest=1
    )


SECTOR_RELATIVE = "sector_relative"
OF_A_COLUMN = (
    _of_a_column(
        "cross_rank",
        "(symbols below + half of the others that are equal) / (symbols - 1) of NAME among the"
        " symbols with a bar at that moment; 0.5 for one alone",
        "Lehmann, Nonparametrics, 1975 (mid-ranks)",
        "0 to 1",
    ),
    _of_a_column(
        "cross_z",
        "(NAME - mean) / sample deviation among the symbols with a bar at that moment; 0 where all"
        " are equal or one is alone",
        "definition",
        "deviations",
    ),
    _of_a_column(
        "market_relative",
        f"NAME - the market's ({_MARKET})",
        "definition",
        "as NAME",
    ),
    _of_a_column(
        SECTOR_RELATIVE,
        "NAME - its mean among the symbols of the sector (features.sectors, else as known on the"
        " day) with a bar at that moment; 0 for one alone, null without a sector",
        "definition",
        "as NAME",
    ),
)
MARKET = (
    Indicator(
        "market_return",
        (),
        "cross_section:market_return",
        _none,
        f"log_return of the market: {_MARKET}",
        "definition",
        "2, where the market has one",
        "log return",
        reads=lambda: ("log_return",),
        across=True,
    ),
    Indicator(
        "beta",
        ("N",),
        "market_model:beta",
        pairs_state_size,
        "covariance of N log returns with the market's / variance of the market's; 0 where it does"
        " not move",
        _SHARPE,
        "N + 1, where the market has a return",
        "ratio",
        reads=lambda _: ("log_return", "market_return"),
    ),
    Indicator(
        "residual_return",
        ("N",),
        "market_model:residual_return",
        pairs_state_size,
        "sum of N log returns - beta_N * sum of the market's N",
        _SHARPE,
        "N + 1, where the market has a return",
        "log return",
        reads=lambda _: ("log_return", "market_return"),
    ),
)
COMPARISONS = (*OF_A_COLUMN, *MARKET)


def of_column(template: Indicator, compared: Indicator, name: str) -> Indicator:
    """`cross_rank` of the column `name`, an indicator with the parameters of that column."""
    return replace(
        template,
        kind=f"{template.kind}_{compared.kind}",
        parameters=compared.parameters,
        reads=lambda *_: (name,),
        warm_up="as " + name,
    )


def is_of_a_sector(name: str) -> bool:
    """Whether a column compares within sectors."""
    return name.startswith(f"{SECTOR_RELATIVE}_")
