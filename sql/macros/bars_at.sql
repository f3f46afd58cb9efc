-- bars_at(span, zone): bars made longer, from the view `bars`; nothing is stored. span is like '5Min', '90Min', '4Hour', '1Day', '1Week' or '1Month'.
-- The rules are those of harmony_pipeline/market/resampling.py: slots of the clock of `zone` from midnight, parts of a session never mixed, days and longer of
-- regular trading alone, stamped midnight UTC of their first date, and a week or month over an ex-date put together in adjusted terms and stated in the
-- shares of its last bar. volume stays in shares as traded. slot_end is the end of the slot; a session that closes inside it ends the bar there.
-- columns: symbol, timeframe, timestamp, session, open, high, low, close, volume, trade_count, vwap, adjustment_factor, slot_end
create or replace macro bars_at(span, zone := 'America/New_York') as table
with sized as (
    select
        case
            when regexp_matches(span, '^[1-9][0-9]*Min$') then regexp_extract(span, '^[0-9]+')::bigint
            when regexp_matches(span, '^[1-9][0-9]*Hour$') then 60 * regexp_extract(span, '^[0-9]+')::bigint
            when span in ('1Day', '1Week', '1Month') then null
            else error('no length of a bar: write it like 5Min, 90Min, 4Hour, 1Day, 1Week or 1Month')
        end as minutes
),
walled as (
    select
        bars.*,
        sized.minutes,
        case when bars.timeframe = '1Day' then timezone('UTC', bars.timestamp) else timezone(zone, bars.timestamp) end as wall
    from bars cross join sized
    where sized.minutes is not null or bars.session = 'regular'
),
placed as (
    select
        *,
        case
            when minutes is not null then date_trunc('day', wall) + to_minutes((date_diff('minute', date_trunc('day', wall), wall) // minutes) * minutes)
            when span = '1Day' then date_trunc('day', wall)
            when span = '1Week' then date_trunc('week', wall)
            else date_trunc('month', wall)
        end as slot
    from walled
),
stated as (
    select
        *,
        adjustment_factor / last_value(adjustment_factor) over (
            partition by symbol, slot, session order by timestamp rows between unbounded preceding and unbounded following
        ) as ratio
    from placed
)
select
    symbol,
    span as timeframe,
    timezone(case when minutes is null then 'UTC' else zone end, slot) as timestamp,
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
    case
        when minutes is not null then timezone(zone, least(slot + to_minutes(minutes), date_trunc('day', slot) + interval 1 day))
        when span = '1Day' then timezone('UTC', slot + interval 1 day)
        when span = '1Week' then timezone('UTC', slot + interval 7 day)
        else timezone('UTC', slot + interval 1 month)
    end as slot_end
from stated
group by symbol, minutes, slot, session
order by symbol, slot, session;
