-- instruments: The terms each symbol is traded by, one row a change: prices, quantities, barriers and fees are rounded by them.
-- grain: one row per (symbol, valid_from); a file is sorted by (symbol, valid_from)
-- columns:
--   symbol
--   valid_from: first session date of these terms; the first terms hold before it too
--   asset_class
--   venue: exchange, where it is known (nullable)
--   calendar
--   currency: of prices and money, where it is known (nullable)
--   tick_size: smallest step of a price
--   small_tick_size: step below small_tick_below; null: one step at all prices (nullable)
--   small_tick_below: price (nullable)
--   price_precision: decimals of a price at tick_size
--   lot_size: smallest step of a quantity
--   minimum_quantity: of an order
--   minimum_notional: of an order, currency
--   multiplier: value of one unit at a price of 1
--   fee_unit: fees are rounded to it, currency
--   shortable
--   volume: traded: participation goes by it; indicative: no common volume
--   origin: where the terms come from
--   partition: the lake's partition key, for pruning
create or replace view instruments as
select
    "symbol",
    "valid_from",
    "asset_class",
    "venue",
    "calendar",
    "currency",
    "tick_size",
    "small_tick_size",
    "small_tick_below",
    "price_precision",
    "lot_size",
    "minimum_quantity",
    "minimum_notional",
    "multiplier",
    "fee_unit",
    "shortable",
    "volume",
    "origin",
    partition
from read_parquet('{lake}/instruments/partition=*/instruments.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
