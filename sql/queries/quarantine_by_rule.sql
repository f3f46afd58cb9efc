-- What was kept out of bars, by rule, with one example of the reason.
select rule, count(*) as rows, count(distinct symbol) as symbols, min(timestamp) as first, max(timestamp) as last, min(reason) as example
from quarantine
group by rule
order by rows desc, rule;
