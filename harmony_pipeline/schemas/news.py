"""Headlines, what was refused of them, how they are scored, and by which words."""

from harmony_pipeline.schemas.table import REAL, TEXT, TIME, WHOLE, Column, Table

_HEADLINE = {
    "symbol": Column(TEXT),
    "published_at": Column(TIME, "as the supplier says, UTC"),
    "headline": Column(TEXT),
}
NEWS = Table(
    "news",
    "Headlines of a symbol, each once. It may be used by what is decided after known_at.",
    "trading",
    ("symbol", "known_at", "published_at", "headline"),
    {
        **_HEADLINE,
        "known_at": Column(
            TIME, "when it could be acted upon: received, else published and news.delay_seconds"
        ),
        "received_at": Column(TIME, "when the supplier delivered it, where a file says so", True),
        "source": Column(TEXT),
        "origin": Column(TEXT, "file it came from", True),
        "row": Column(WHOLE, "line or row number there, from 1", True),
        "ingested_at": Column(TIME, "when it was learned"),
    },
    known_by="ingested_at",
    conditions=("known_at >= published_at",),
)
NEWS_QUARANTINE = Table(
    "news_quarantine",
    "One row per row of news that is not in news; one without a time in the market's dates stands"
    " in the last period.",
    "trading",
    ("origin", "row", "rule"),
    {
        "symbol": Column(TEXT, "", True),
        "published_at": Column(TIME, "", True),
        "headline": Column(TEXT, "its beginning", True),
        "source": Column(TEXT),
        "origin": Column(TEXT, "file it came from", True),
        "row": Column(WHOLE, "line or row number there, from 1", True),
        "rule": Column(TEXT, "name of the rule it broke"),
        "reason": Column(TEXT, "what was found, what was expected, the cure"),
    },
    unique_key=False,
)
NEWS_SCORES = Table(
    "news_scores",
    "The score of each headline by the words of its retraining period, which were learned from"
    " outcomes that were settled before that period began.",
    "trading",
    ("symbol", "known_at", "published_at", "headline"),
    {
        **_HEADLINE,
        "known_at": Column(TIME, "when it could be acted upon"),
        "period": Column(TEXT, "retraining period that it belongs to"),
        "score": Column(REAL, "-1 to 1; null: too little was known to learn from", True),
    },
    conditions=("score between -1.0 and 1.0",),
)
NEWS_WORDS = Table(
    "news_words",
    "What each word or pair of words weighs in the scores of a retraining period; partition: the"
    " trading period in which that period begins.",
    "trading",
    ("period", "word"),
    {
        "period": Column(TEXT, "retraining period whose headlines are scored by it"),
        "word": Column(TEXT),
        "weight": Column(REAL, "log-odds of a rise"),
        "headlines": Column(WHOLE, "headlines with the word among those learned from", at_least=1),
        "learned_from": Column(WHOLE, "headlines learned from", at_least=1),
        "settled_by": Column(TIME, "every outcome learned from was settled by then"),
    },
)
