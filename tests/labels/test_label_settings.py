import pytest
from pydantic import ValidationError

from harmony_pipeline.labels.settings import LabelSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizons_bars": ()},
        {"horizons_bars": (0,)},
        {"profit_take": 0.0},
        {"stop_loss": -1.0},
        {"minimum_barrier_bps": -1.0},
        {"horizon": 8},
    ],
)
def test_settings_that_describe_no_barrier_are_refused(wrong):
    with pytest.raises(ValidationError):
        LabelSettings(**wrong)
