"""The reference of all indicators in docs/features.md, written from the catalog: `python -m
harmony_pipeline.features.reference`.
"""

from pathlib import Path

from harmony_pipeline.features.comparisons import COMPARISONS, OF_A_COLUMN
from harmony_pipeline.features.indicators import GROUPS, INDICATORS, Indicator
from harmony_pipeline.features.news_columns import NEWS

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
HEADING = "## All indicators"
_NUMBERS = {"M": 60, "D": 40, "F": 12, "S": 26, "G": 9, "K": 3, "Q": 4, "N": 20}
_COMPARED = "momentum_20"
_SMOOTHING = 3  # D of stochastic_d_N_K_D


def example(indicator: Indicator) -> str:
    """A column name of the kind: `rsi_20`."""
    if indicator in OF_A_COLUMN:
        return f"{indicator.kind}_{_COMPARED}"
    numbers = [
        _SMOOTHING
        if letter == "D" and len(indicator.parameters) == _SMOOTHING
        else _NUMBERS[letter]
        for letter in indicator.parameters
    ]
    return "_".join((indicator.kind, *map(str, numbers)))


EXAMPLES = tuple(example(indicator) for indicator in (*INDICATORS, *COMPARISONS, *NEWS))


def tables() -> str:
    """A Markdown table for each group of indicators."""
    parts = [
        (
            f"{HEADING}\n\n"
            "Written from the catalog by `python -m harmony_pipeline.features.reference`."
            " The warm-up is the number of a symbol's\nbars with which the value is first known."
        )
    ]
    groups = (*GROUPS.items(), ("Several symbols", COMPARISONS), ("News", NEWS))
    for name, indicators in groups:
        rows = ["| column | formula | source | warm-up | unit |", "|---|---|---|---|---|"]
        rows += [
            "| "
            + " | ".join(
                text.replace("|", "\\|").replace("*", "\\*")
                for text in (
                    f"`{one.pattern}`",
                    one.note,
                    one.source,
                    one.warm_up,
                    one.unit,
                )
            )
            + " |"
            for one in indicators
        ]
        parts.append(f"### {name}\n\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Rewrite the page from its heading on."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.partition(HEADING)[0] + tables(), encoding="utf-8")


if __name__ == "__main__":
    main()
