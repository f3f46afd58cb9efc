"""docs/features.md says what the catalog says."""

from harmony_pipeline.features.catalog import INDICATORS, parse_name
from harmony_pipeline.features.comparisons import COMPARISONS, MARKET, OF_A_COLUMN
from harmony_pipeline.features.news_columns import NEWS
from harmony_pipeline.features.reference import EXAMPLES, HEADING, PAGE, tables


def test_the_page_is_current():
    text = PAGE.read_text(encoding="utf-8")
    found = HEADING + text.partition(HEADING)[2]
    assert found == tables(), "write it again: python -m harmony_pipeline.features.reference"


def test_every_indicator_says_formula_source_warm_up_and_unit():
    for one in (*INDICATORS, *COMPARISONS, *NEWS):
        assert all((one.note, one.source, one.warm_up, one.unit)), one.kind


def test_every_example_is_a_name_that_can_be_computed():
    found = [parse_name(name)[0] for name in EXAMPLES]
    plain = [one for one in found if "momentum" not in one.kind or not one.across]
    assert plain == [*INDICATORS, *MARKET, *NEWS]
    assert [one.kind for one in found if one not in plain] == [
        f"{one.kind}_momentum" for one in OF_A_COLUMN
    ]
