-- backtests: One row a backtest with every metric.
-- grain: one row per (backtest_id); a file is sorted by (backtest_id)
-- columns:
--   backtest_id
--   strategy: or portfolio
--   parameters: JSON
--   start
--   end
--   initial_cash
--   participation: largest part of a bar's volume
--   zero_volume: an order at a bar without volume: auto (by the instrument), fill or refuse (nullable)
--   total_return (nullable)
--   annual_return (nullable)
--   annual_volatility (nullable)
--   sharpe: annualised (nullable)
--   sortino (nullable)
--   calmar (nullable)
--   max_drawdown (nullable)
--   skew (nullable)
--   kurtosis (nullable)
--   turnover (nullable)
--   trades (nullable)
--   win_rate (nullable)
--   profit_factor (nullable)
--   average_trade_return (nullable)
--   fees (nullable)
--   slippage (nullable)
--   exposure: mean_gross_exposure under its former name (nullable)
--   time_in_market: share of bars at whose close a position was held (nullable)
--   mean_gross_exposure: mean of gross_exposure / equity (nullable)
--   partition: the lake's partition key, for pruning
create or replace view backtests as
select
    "backtest_id",
    "strategy",
    "parameters",
    "start",
    "end",
    "initial_cash",
    "participation",
    "zero_volume",
    "total_return",
    "annual_return",
    "annual_volatility",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "skew",
    "kurtosis",
    "turnover",
    "trades",
    "win_rate",
    "profit_factor",
    "average_trade_return",
    "fees",
    "slippage",
    "exposure",
    "time_in_market",
    "mean_gross_exposure",
    partition
from read_parquet('{lake}/backtests/partition=*/backtests.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
