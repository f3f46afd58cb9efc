"""A folder of any vendor's files goes through `harmony init` and comes back as the bars that were
written, without another setting.
"""

import pytest
from market.raw_rows import utc
from market.vendors.reading import BAR
from polars.testing import assert_frame_equal

from harmony_pipeline.cli.init import init
from harmony_pipeline.config import load_settings
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.testing.vendor_formats.folders import FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_init_guesses_right_and_the_source_gives_what_was_written(name, tmp_path):
    vendor = FOLDERS[name]
    expected = vendor.bars()
    vendor.write(tmp_path / "bars", expected)
    settings_file = tmp_path / "harmony.toml"
    init(tmp_path / "bars", settings_file)
    market = load_settings(settings_file, {}).market
    assert (market.calendar, market.timeframe, market.files.timezone) == (
        vendor.calendar,
        vendor.timeframe,
        vendor.zone,
    )
    assert market.files.columns == {}
    answer = build_source(market, tmp_path).read_bars(
        None, utc(1900, 1, 1), utc(2200, 1, 1), market.timeframe
    )
    assert answer.refusals == ()
    assert answer.rows["defect"].null_count() == answer.rows.height
    read = answer.rows.select(BAR).sort("symbol", "timestamp")
    assert_frame_equal(read, expected.select(BAR), check_dtypes=False, rel_tol=1e-15, abs_tol=0.0)
