-- asset: predictions, blocking
-- A prediction lies inside its period, made by a model whose last training outcome was known before the period began.
select prediction.model_id, prediction.symbol, prediction.timestamp, fold.test_start, fold.test_end, fold.train_last_end
from predictions as prediction
left join folds as fold on fold.model_id = prediction.model_id and fold.period = prediction.period and fold.horizon = prediction.horizon
where
    fold.model_id is null
    or prediction.timestamp < fold.test_start
    or prediction.timestamp >= fold.test_end
    or fold.train_last_end > fold.train_end
    or fold.train_end > fold.test_start
order by prediction.symbol, prediction.timestamp;
