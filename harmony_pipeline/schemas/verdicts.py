"""Checks that failed: partitions that nothing may be made of."""

from harmony_pipeline.schemas.table import TEXT, TIME, WHOLE, Column, Table

VERDICTS = Table(
    "verdicts",
    "Blocking checks that failed and have not passed since: nothing is made of such a partition"
    " until it is repaired or waived.",
    "none",
    ("asset", "period", "check_name"),
    {
        "asset": Column(TEXT),
        "period": Column(TEXT, "partition of the asset; all: every one"),
        "check_name": Column(TEXT),
        "judged_at": Column(TIME, "when it failed"),
        "content_hash": Column(TEXT, "of the partition that was judged", True),
        "offending_rows": Column(WHOLE),
        "finding": Column(TEXT, "the first of them in words"),
        "waived_at": Column(TIME, "", True),
        "waived_why": Column(TEXT, "", True),
    },
)
