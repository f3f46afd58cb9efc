"""One computed column of a set of features."""

from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.indicator import Indicator, Kernel


@dataclass(frozen=True)
class FeatureColumn:
    """One computed column: its indicator, its parameters, its slice of the state, and the columns
    that it reads.
    """

    name: str
    indicator: Indicator
    parameters: tuple[float, ...]
    state: slice
    reads: tuple[str, ...] = ()
    round: int = 0
    """0 for a fold of bars alone; a fold that reads a comparison is one after it."""

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled function."""
        if not isinstance(self.indicator.kernel, str):
            return self.indicator.kernel
        found: Kernel = resolve_name(f"{__package__}.{self.indicator.kernel}")
        return found

    @cached_property
    def parameter_array(self) -> FloatArray:
        """The parameters as kernels read them."""
        return np.array(self.parameters, np.float64)
