-- asset: raw_bars
-- Every row of a file that lies inside the range that was read was received by some period: offending files are those of which rows went nowhere, or twice.
with pieces as (
    select distinct reading, read_from, read_to from file_accounts where read_to > read_from
),
readings as (
    -- whole where the periods of one reading lie side by side: else some were not read yet
    select reading, min(read_from) as read_from, max(read_to) as read_to
    from pieces
    group by reading
    having abs(sum(epoch(read_to) - epoch(read_from)) - (epoch(max(read_to)) - epoch(min(read_from)))) < 1
)
select a.reading, a.origin, max(a."rows") as rows_in_file, sum(a.received) as received, min(a."first") as first_time, max(a."last") as last_time
from file_accounts as a
inner join readings as r on a.reading = r.reading
where a."first" >= r.read_from and a."last" < r.read_to
group by a.reading, a.origin
having sum(a.received) <> max(a."rows")
order by a.reading, a.origin;
