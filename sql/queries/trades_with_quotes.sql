-- Every trade beside the quote that stood strictly before it: quoted and effective spread in currency per share, and who was the active side (Lee and Ready 1991).
-- sign: 1 bought (above the mid), -1 sold (below), at the mid the sign of the last change of price; null without both sides of a quote.
-- Where the clock of a tape is too coarse to order a trade and a quote of one time, read >= for > in the join: the quote of the same time then counts as known.
with standing as (
    -- of several quotes at one time the last on the tape stood
    select symbol, timestamp, bid, bid_size, ask, ask_size
    from quote_ticks
    qualify row_number() over (partition by symbol, timestamp order by origin desc nulls last, "row" desc nulls last) = 1
),
moves as (
    select
        *,
        sign(price - lag(price) over tape) as move
    from trade_ticks
    window tape as (partition by symbol order by timestamp, origin nulls first, "row" nulls first)
),
signed as (
    select
        *,
        coalesce(last_value(nullif(move, 0) ignore nulls) over (
            partition by symbol order by timestamp, origin nulls first, "row" nulls first rows between unbounded preceding and current row
        ), 0) as last_move
    from moves
)
select
    trade.symbol,
    trade.timestamp,
    trade.price,
    trade.size,
    trade.exchange,
    trade.conditions,
    quote.timestamp as quote_timestamp,
    quote.bid,
    quote.bid_size,
    quote.ask,
    quote.ask_size,
    quote.ask - quote.bid as quoted_spread,
    2.0 * abs(trade.price - (quote.bid + quote.ask) / 2.0) as effective_spread,
    trade.price between quote.bid and quote.ask as inside,
    case
        when trade.price > (quote.bid + quote.ask) / 2.0 then 1
        when trade.price < (quote.bid + quote.ask) / 2.0 then -1
        when quote.bid + quote.ask is not null then trade.last_move
    end::tinyint as sign
from signed as trade
asof left join standing as quote on trade.symbol = quote.symbol and trade.timestamp > quote.timestamp
order by trade.symbol, trade.timestamp, trade.origin nulls first, trade."row" nulls first;
