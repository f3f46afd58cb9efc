"""Every rule by name: its default severity, the severities that a user may set, and its meaning.

A rule's number is its position in RULES, counted from 1. Rules are applied in this order. A row in
quarantine stands under the first rule that it breaks. The kernels freeze these numbers, so a change
of the order recompiles them.

Families:
    own      needs the row alone. Most cannot be switched off: a row that breaks one is no bar.
    past     needs the row and what came before it.
    late     needs a later bar to be sure of an earlier one. It may only warn, at the later bar.
    version  compares rows of one symbol and time.
    source   concerns a file or a corporate action, not a row.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["quarantine", "warn", "off"]
_ALL: tuple[Severity, ...] = ("quarantine", "warn", "off")
_WARN: tuple[Severity, ...] = ("warn", "off")


@dataclass(frozen=True)
class RuleInfo:
    """One rule. `choices` are the severities that a user may set. It is empty where every other
    severity would leave an unusable table.
    """

    name: str
    family: Literal["own", "past", "late", "version", "source"]
    severity: Severity
    choices: tuple[Severity, ...]
    about: str


RULES: tuple[RuleInfo, ...] = (
    RuleInfo("unreadable", "own", "quarantine", (), "a cell could not be read"),
    RuleInfo("missing_price", "own", "quarantine", (), "a price is missing"),
    RuleInfo("missing_volume", "own", "quarantine", (), "the volume is missing"),
    RuleInfo("unknown_symbol", "own", "quarantine", (), "not among market.symbols"),
    RuleInfo("non_positive_price", "own", "quarantine", (), "a price of 0 or less"),
    RuleInfo(
        "price_out_of_bounds",
        "own",
        "quarantine",
        (),
        "a price below min_price or above max_price: no market quotes it",
    ),
    RuleInfo("negative_volume", "own", "quarantine", (), "a volume below 0"),
    RuleInfo("volume_out_of_bounds", "own", "quarantine", (), "a volume above max_volume"),
    RuleInfo("high_below_low", "own", "quarantine", (), "high below low"),
    RuleInfo(
        "open_or_close_outside_range", "own", "quarantine", (), "open or close outside low to high"
    ),
    RuleInfo(
        "misaligned_timestamp",
        "own",
        "quarantine",
        _ALL,
        "off the grid of the timeframe on the exchange's clock",
    ),
    RuleInfo("outside_session", "own", "quarantine", (), "outside every session of the calendar"),
    RuleInfo(
        "closed_market_filler",
        "own",
        "quarantine",
        (),
        "outside every session, without volume and movement: the vendor's filler; no fault",
    ),
    RuleInfo(
        "extended_hours_off",
        "own",
        "quarantine",
        (),
        "extended hours, which market.extended_hours switches off; no fault",
    ),
    RuleInfo(
        "zero_volume",
        "own",
        "warn",
        _ALL,
        "no volume: warned of where at most half of the bars are so, refused without exception",
    ),
    RuleInfo(
        "bad_print",
        "past",
        "quarantine",
        _ALL,
        "a price that neither the previous close nor the bar's own close supports",
    ),
    RuleInfo(
        "wrong_scale",
        "past",
        "quarantine",
        _ALL,
        "a price 10, 100 or 1000 times those beside it, or that part of them, that volume does not"
        " explain",
    ),
    RuleInfo(
        "ticker_reuse",
        "past",
        "warn",
        _ALL,
        "a long absence, then another price level: perhaps another issuer",
    ),
    RuleInfo(
        "wrong_unit",
        "past",
        "warn",
        _ALL,
        "prices or vwap off by a factor of 100 or 1000: cents for dollars",
    ),
    RuleInfo(
        "split_like_jump",
        "past",
        "warn",
        _ALL,
        "a jump on a calm bar by the ratio of a split without a corporate action",
    ),
    RuleInfo(
        "outlier",
        "past",
        "warn",
        _ALL,
        "a return far outside those of the bars before, in units of their median deviation",
    ),
    RuleInfo(
        "volume_spike",
        "past",
        "warn",
        _ALL,
        "a volume far above the largest bars of the sessions before",
    ),
    RuleInfo("stale_repeat", "past", "warn", _ALL, "the same five values again and again"),
    RuleInfo(
        "frozen_prices",
        "past",
        "warn",
        _ALL,
        "the same four prices again and again while the volume moves",
    ),
    RuleInfo(
        "spike_reversal",
        "late",
        "warn",
        _WARN,
        "the bar before jumped and this one came back: its close was perhaps an error",
    ),
    RuleInfo(
        "changed_unit",
        "late",
        "warn",
        _WARN,
        "prices or volumes moved by a factor of 10, 100 or 1000 and stayed there",
    ),
    RuleInfo(
        "withdrawn",
        "version",
        "quarantine",
        (),
        "the source gave this bar before and gives it no more; no fault",
    ),
    RuleInfo(
        "superseded",
        "version",
        "quarantine",
        (),
        "an older version of a row that was learned again; no fault",
    ),
    RuleInfo("duplicate", "version", "quarantine", (), "the same row twice"),
    RuleInfo(
        "conflicting_duplicate",
        "version",
        "quarantine",
        (),
        "another row for this symbol and time, learned at the same moment",
    ),
    RuleInfo(
        "wrong_time_zone",
        "source",
        "warn",
        _WARN,
        "a file whose stamps fit another time zone better",
    ),
    RuleInfo(
        "action_not_applied",
        "source",
        "warn",
        _WARN,
        "a split or dividend that was due and could not be applied",
    ),
)
NUMBER: dict[str, int] = {rule.name: at for at, rule in enumerate(RULES, 1)}
NAME: dict[int, str] = {at: rule.name for at, rule in enumerate(RULES, 1)}
CHOOSABLE: tuple[str, ...] = tuple(rule.name for rule in RULES if rule.choices)
# rows that are sound, or were mended: left out of quarantined_fraction
NOT_A_FAULT = ("closed_market_filler", "extended_hours_off", "superseded", "withdrawn")


def refused_choice(name: str, severity: str) -> str | None:
    """Why `severity` cannot be chosen for the rule `name`; None when it can."""
    if name not in NUMBER:
        return f"'{name}' is no rule; the rules are {', '.join(CHOOSABLE)}"
    choices = RULES[NUMBER[name] - 1].choices
    if not choices:
        return (
            f"'{name}' has one severity only, since a row that breaks it cannot be a bar; the rules"
            f" that can be set are {', '.join(CHOOSABLE)}"
        )
    if severity not in choices:
        return f"'{name}' cannot be '{severity}'; choose {', '.join(choices)}"
    return None
