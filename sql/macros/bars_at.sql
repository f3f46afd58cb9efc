-- bars_at(span, zone): bars made longer, from the view `bars`; nothing is stored. span is like '30Sec', '5Min', '90Min', '4Hour', '1Day', '1Week' or '1Month'.
-- The rules are those of harmony_pipeline/market/resampling.py: slots of the market's own grid (views exchange_sessions and bar_grid), or of the clock of
-- `zone` from midnight where one is named; parts of a session never mixed; days and longer of regular trading alone, cut by the exchange's sessions and
-- stamped midnight UTC of their first session date; a week or month over an ex-date put together in adjusted terms and stated in the shares of its
-- last bar. volume stays in shares as traded. slot_end is when the bar is known: the end of its slot, or of its part of the session where that comes
-- first; the close of the last session of a day, week or month.
-- columns: symbol, timeframe, timestamp, session, open, high, low, close, volume, trade_count, vwap, adjustment_factor, slot_end
create or replace macro bars_at(span, zone := null) as table
with sized as (
    select
        case
            when regexp_matches(span, '^[1-9][0-9]*Sec$') then regexp_extract(span, '^[0-9]+')::bigint
            when regexp_matches(span, '^[1-9][0-9]*Min$') then 60 * regexp_extract(span, '^[0-9]+')::bigint
            when regexp_matches(span, '^[1-9][0-9]*Hour$') then 3600 * regexp_extract(span, '^[0-9]+')::bigint
            when span in ('1Day', '1Week', '1Month') then null
            else error('no length of a bar: write it like 30Sec, 5Min, 4Hour, 1Day, 1Week or 1Month')
        end as seconds,
        coalesce(zone, (select any_value(exchange_sessions.time_zone) from exchange_sessions), 'UTC') as clock,
        zone is null and coalesce((select max(bar_grid.grid) from bar_grid where bar_grid.timeframe = (select max(bars.timeframe) from bars)), 'clock') = 'session'
            as by_session,
        case
            when zone is null
                then coalesce((select max(try_cast(bar_grid.grid as bigint)) from bar_grid where bar_grid.timeframe = (select max(bars.timeframe) from bars)), 0)
            else 0
        end as shift
),
held as (
    -- the session of a bar: the first whose late trading ends after the bar starts; a daily or weekly bar bears its date
    select
        bars.*,
        sized.*,
        bars.timeframe in ('1Day', '1Week') as is_long,
        timezone(case when bars.timeframe in ('1Day', '1Week') then 'UTC' else sized.clock end, bars.timestamp) as wall,
        s.date as session_day,
        case
            when bars.session = 'pre' then s.pre_open
            when bars.session = 'post' then s.close
            when bars.timestamp >= s.break_end then s.break_end
            else s.open
        end as stretch_start,
        case
            when bars.session = 'pre' then s.open
            when bars.session = 'post' then s.post_close
            when sized.by_session and bars.timestamp < s.break_start then s.break_start
            else s.close
        end as stretch_end
    from bars
    cross join sized
    asof left join exchange_sessions as s on bars.timestamp < s.post_close
    where sized.seconds is not null or bars.session = 'regular'
),
spans as (
    select
        case when span = '1Day' then date when span = '1Week' then date_trunc('week', date) else date_trunc('month', date) end as first_day,
        min(date) as first_session,
        max(close) as last_close
    from exchange_sessions
    where span in ('1Day', '1Week', '1Month')
    group by first_day
),
dated as (
    select
        *,
        case
            when seconds is not null then null
            when span = '1Day' then dated_on
            when span = '1Week' then date_trunc('week', dated_on)
            else date_trunc('month', dated_on)
        end as first_day
    from (select *, case when is_long then wall::date else coalesce(session_day, wall::date) end as dated_on from held)
),
placed as (
    select
        dated.*,
        case
            when seconds is null then timezone('UTC', coalesce(spans.first_session, dated.first_day)::timestamp)
            when by_session
                then stretch_start + to_microseconds((date_diff('microsecond', stretch_start, dated.timestamp) // (seconds * 1000000)) * seconds * 1000000)
            else
                timezone(
                    clock,
                    date_trunc('day', wall)
                    + to_seconds((floor((date_diff('second', date_trunc('day', wall), wall) - shift * 60) / seconds) * seconds)::bigint + shift * 60)
                )
        end as slot,
        spans.last_close
    from dated
    left join spans on dated.first_day = spans.first_day
),
ended as (
    select
        *,
        case
            when seconds is null and last_close is not null then last_close
            when seconds is null
                then timezone('UTC', timezone('UTC', slot) + case span when '1Day' then interval 1 day when '1Week' then interval 7 day else interval 1 month end)
            when by_session then least(slot + to_seconds(seconds), stretch_end)
            when shift > 0 then least(timezone(clock, timezone(clock, slot) + to_seconds(seconds)), coalesce(stretch_end, 'infinity'::timestamptz))
            else
                least(
                    timezone(clock, least(timezone(clock, slot) + to_seconds(seconds), date_trunc('day', timezone(clock, slot)) + interval 1 day)),
                    coalesce(stretch_end, 'infinity'::timestamptz)
                )
        end as slot_end
    from placed
),
stated as (
    select
        *,
        adjustment_factor / last_value(adjustment_factor) over (
            partition by symbol, slot, session order by timestamp rows between unbounded preceding and unbounded following
        ) as ratio
    from ended
)
select
    symbol,
    span as timeframe,
    slot as timestamp,
    session,
    first(open * ratio order by stated.timestamp) as open,
    max(high * ratio) as high,
    min(low * ratio) as low,
    last(close order by stated.timestamp) as close,
    sum(volume order by stated.timestamp) as volume,
    case when count(trade_count) = count(*) then sum(trade_count order by stated.timestamp) end as trade_count,
    case
        when count(vwap) = count(*) and sum(volume) > 0
            then least(max(high * ratio), greatest(min(low * ratio), sum(vwap * ratio * volume order by stated.timestamp) / sum(volume order by stated.timestamp)))
    end as vwap,
    last(adjustment_factor order by stated.timestamp) as adjustment_factor,
    max(slot_end) as slot_end
from stated
group by symbol, slot, session;
