-- Bars that a source changed after it first told them: when that was learned, and from what to what.
with told as (
    -- of rows learned at one moment the winner, as ingest chooses it
    select * from raw_bars
    qualify row_number() over (
        partition by symbol, timestamp, ingested_at
        order by
            (defect is null) desc, volume desc nulls last, trade_count desc nulls last, "close" desc nulls last, high desc nulls last,
            low desc nulls last, "open" desc nulls last, vwap desc nulls last
    ) = 1
),
steps as (
    select
        *,
        lag(ingested_at) over versions as known_before,
        lag("open") over versions as open_before,
        lag(high) over versions as high_before,
        lag(low) over versions as low_before,
        lag("close") over versions as close_before,
        lag(volume) over versions as volume_before
    from told
    window versions as (partition by symbol, timestamp order by ingested_at)
)
select
    symbol,
    timestamp,
    known_before,
    ingested_at as learned,
    source,
    concat_ws(
        ', ',
        case when "open" is distinct from open_before then format('open {} -> {}', coalesce(open_before::varchar, 'none'), coalesce("open"::varchar, 'none')) end,
        case when high is distinct from high_before then format('high {} -> {}', coalesce(high_before::varchar, 'none'), coalesce(high::varchar, 'none')) end,
        case when low is distinct from low_before then format('low {} -> {}', coalesce(low_before::varchar, 'none'), coalesce(low::varchar, 'none')) end,
        case when "close" is distinct from close_before then format('close {} -> {}', coalesce(close_before::varchar, 'none'), coalesce("close"::varchar, 'none')) end,
        case when volume is distinct from volume_before then format('volume {} -> {}', coalesce(volume_before::varchar, 'none'), coalesce(volume::varchar, 'none')) end
    ) as changed,
    close_before,
    "close" as close_after,
    volume_before,
    volume as volume_after
from steps
where
    known_before is not null
    and (
        "open" is distinct from open_before
        or high is distinct from high_before
        or low is distinct from low_before
        or "close" is distinct from close_before
        or volume is distinct from volume_before
    )
order by symbol, timestamp, learned;
