-- asset: scan_selections
-- Every selected symbol is a candidate that passed, and every rejected one says why.
select selection.date, selection.symbol, candidate.rejected_by
from scan_selections as selection
left join scan_candidates as candidate on candidate.date = selection.date and candidate.symbol = selection.symbol
where candidate.passed is distinct from true
union all
select date, symbol, rejected_by from scan_candidates where not passed and len(rejected_by) = 0
order by 1, 2;
