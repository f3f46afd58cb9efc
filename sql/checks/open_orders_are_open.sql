-- asset: paper_session
-- An order that is shown as open was not filled, canceled or rejected by any session; one shown as filled was filled whole.
with outcome as (
    select
        client_order_id,
        bool_or(kind = 'filled') as filled,
        bool_or(kind in ('canceled', 'expired', 'rejected', 'replaced')) as ended
    from session_events
    where client_order_id is not null
    group by client_order_id
)
select placed.session_id, placed.order_id, placed.client_order_id, placed.status, outcome.filled, outcome.ended
from session_orders as placed
inner join outcome on outcome.client_order_id = placed.client_order_id
where
    (placed.status = 'open' and (outcome.filled or outcome.ended))
    or (placed.status = 'partially_filled' and outcome.filled)
    or (placed.status = 'filled' and not outcome.filled)
order by placed.session_id, placed.order_id;
