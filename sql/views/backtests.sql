-- backtests: One row a backtest with every metric.
-- grain: one row per (backtest_id), in that order
-- columns:
--   backtest_id
--   strategy
--   parameters: JSON
--   start
--   end
--   initial_cash
--   participation: largest part of a bar's volume
--   total_return (nullable)
--   annual_return (nullable)
--   annual_volatility (nullable)
--   sharpe (nullable)
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
--   exposure (nullable)
--   partition: the lake's partition key, for pruning
create or replace view backtests as
select
    backtest_id,
    strategy,
    parameters,
    "start",
    "end",
    initial_cash,
    participation,
    total_return,
    annual_return,
    annual_volatility,
    sharpe,
    sortino,
    calmar,
    max_drawdown,
    skew,
    kurtosis,
    turnover,
    trades,
    win_rate,
    profit_factor,
    average_trade_return,
    fees,
    slippage,
    exposure,
    partition
from read_parquet('{lake}/backtests/*/*.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true)
order by backtest_id;
