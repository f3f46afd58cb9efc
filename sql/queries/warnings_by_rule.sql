-- What a rule found odd and let pass as a bar, by rule, with the largest measure and one example of the reason.
select rule, count(*) as rows, count(distinct symbol) as symbols, min(timestamp) as first, max(timestamp) as last, max(measure) as largest, min(reason) as example
from quality_warnings
group by rule
order by rows desc, rule;
