"""Why a stage had nothing to make, in the words that every stage, the summary and the UI share."""

NO_BARS = "there are no bars yet; bring some with: harmony ingest"
TOO_FEW_BARS = "the features are all known on no bar: they need more bars than there are"
NO_BARS_HERE = "no bars in this period"
NO_REGULAR_BARS = (
    "no bar lies in the regular session, and only those are traded; see market.calendar and"
    " market.files.timezone"
)
ACTS_ON_FILLS = (
    "it hears its fills (on_fill), so its orders under other circumstances are not those of its"
    " signals"
)
ACTS_ON_QUOTES = "it acts on quotes, which other costs, late bars and lost bars do not change"
NO_QUOTES = (
    "the lake has no quotes of these symbols and days; bring some with: harmony ticks --from DAY"
)
NO_SESSION = "no session ran on this day"
