"""How the assets of a command become runs, where steps leave its process.

Assets whose partitions follow from each other (features, which are a fold; raw bars, whose source
is read once) are made by one run over the whole range. Of the others (labels, models, strategies,
scans) the range is cut into as many runs as may go at the same time. What needs everything before
it waits: waves are made one after the other, the runs of a wave side by side. Checks that ask the
whole lake come at the end of a wave, when nobody writes any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from assets.groups import ASSETS, Asset
from assets.partitions import RANGE_END, RANGE_START


@dataclass(frozen=True)
class Part:
    """What one run makes: assets, and the partitions first..last of them; none where a range was
    not asked for.
    """

    assets: tuple[str, ...]
    first: str | None = None
    last: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """The tags of a run over these partitions."""
        if self.first is None or self.last is None:
            return {}
        return {RANGE_START: self.first, RANGE_END: self.last}


@dataclass(frozen=True)
class Wave:
    """Runs that go side by side."""

    parts: tuple[Part, ...]

    @property
    def is_cut(self) -> bool:
        """Whether several runs make the same assets."""
        return len(self.parts) > 1


def waves(names: Sequence[str], keys: Sequence[str], runs: int) -> Iterator[Wave]:
    """The waves that make these assets for these partitions, at most `runs` side by side."""
    wanted = [asset for asset in ASSETS.values() if asset.name in set(names)]
    whole = (keys[0], keys[-1]) if keys else (None, None)
    for can_be_cut, group in groupby(wanted, lambda asset: _cut_by(asset, keys)):
        assets = tuple(asset.name for asset in group)
        if can_be_cut is None:
            yield Wave((Part(assets, *whole),))
        else:
            yield Wave(tuple(Part(assets, *ends) for ends in ranges(keys, runs)))


def _cut_by(asset: Asset, keys: Sequence[str]) -> str | None:
    """By what the range of an asset is cut; None: not at all."""
    return asset.partitions if asset.fans_out and len(keys) > 1 else None


def ranges(keys: Sequence[str], most: int) -> list[tuple[str, str]]:
    """(first, last) of at most so many stretches of `keys`, whose lengths differ by one at most."""
    count = min(most, len(keys))
    cuts = [len(keys) * at // count for at in range(count + 1)]
    return [(keys[begin], keys[end - 1]) for begin, end in pairwise(cuts)]
