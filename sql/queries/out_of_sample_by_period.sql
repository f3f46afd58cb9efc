-- How good the forecasts were where nobody had seen the outcome, by period and horizon.
select
    prediction.period,
    prediction.horizon,
    count(*) as forecasts,
    avg(prediction.probability) as mean_probability,
    avg(outcome.label) as hit_rate,
    avg(power(prediction.probability - outcome.label, 2)) as brier
from predictions as prediction
inner join labels as outcome on outcome.symbol = prediction.symbol and outcome.timestamp = prediction.timestamp and outcome.horizon = prediction.horizon
where outcome.label is not null and prediction.probability is not null
group by prediction.period, prediction.horizon
order by prediction.period, prediction.horizon;
