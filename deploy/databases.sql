-- Run once, when the database server's volume is new: runs and ledgers of each profile apart.
create database dagster_dev;
create database ledger_dev;
create database dagster_paper;
create database ledger_paper;
create database dagster_live;
create database ledger_live;
