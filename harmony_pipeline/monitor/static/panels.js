// The tables of the page: which columns, in which order.
import { KeyedTable } from "/static/tables.js";
import { age, clock, gainOrLoss, price, shares, signedMoney, signedPercent, words, DASH } from "/static/format.js";

const at = (id) => document.getElementById(id);
const number = { number: true };
const newestFirst = (a, b) => b.at - a.at;
const bySymbol = (a, b) => a.symbol < b.symbol ? -1 : 1;
const side = { style: (row) => row.side === "buy" ? "gain" : "loss" };

const STATUS = { filled: "gain", partially_filled: "gain", rejected: "bad", refused: "warn" };

function counted(id, table, note) {
  const count = at(`${id}-count`);
  return (rows) => {
    table.show(rows);
    count.textContent = note ? note(rows) : rows.size ? String(rows.size) : "";
  };
}

export function showOrders(store) {
  const table = new KeyedTable(at("orders"), [
    ["time", (row) => clock(row.at)],
    ["symbol", (row) => row.symbol],
    ["role", (row) => row.role],
    ["side", (row) => row.side, side],
    ["shares", (row) => shares(row.quantity), number],
    ["filled", (row) => shares(row.filled), number],
    ["at", (row) => row.kind === "market" ? "market" : price(row.at_price), number],
    ["status", (row) => words(row.status), { style: (row) => STATUS[row.status] ?? "" }],
    ["verdict", (row) => words(row.verdict)],
    ["why", (row) => words(row.limit ? `${row.limit}` : row.reason)],
  ], { empty: "no order yet", order: newestFirst });
  const open = (rows) => { let count = 0; for (const row of rows.values()) if (row.open) count += 1; return count; };
  store.on("orders", counted("orders", table, (rows) => rows.size ? `${rows.size}, ${open(rows)} open` : ""));
}

export function showFills(store) {
  const table = new KeyedTable(at("fills"), [
    ["time", (row) => clock(row.at)],
    ["symbol", (row) => row.symbol],
    ["role", (row) => words(row.role)],
    ["side", (row) => row.side, side],
    ["shares", (row) => shares(row.quantity), number],
    ["price", (row) => price(row.price), number],
    ["fee", (row) => row.fee.toFixed(2), number],
    ["slippage", (row) => row.slippage.toFixed(4), number],
  ], { empty: "no fill yet", order: newestFirst });
  store.on("fills", counted("fills", table));
}

export function showPositions(store, onSymbol) {
  const table = new KeyedTable(at("positions"), [
    ["symbol", (row) => row.strategy ? `${row.symbol} ${row.strategy}` : row.symbol],
    ["shares", (row) => shares(row.quantity), number],
    ["entry", (row) => price(row.entry), number],
    ["last", (row) => price(row.last), number],
    ["value", (row) => row.value === null ? DASH : price(row.value), number],
    ["profit", (row) => signedMoney(row.profit), { number: true, style: (row) => gainOrLoss(row.profit) }],
    ["stop", (row) => price(row.stop), number],
    ["take", (row) => price(row.take), number],
  ], { empty: "nothing is held", order: bySymbol, onRow: onSymbol });
  store.on("positions", counted("positions", table));
}

export function showWatch(store, onSymbol) {
  const dataAge = (row) => {
    const health = store.row("health");
    return health?.now ? (health.now - row.t - health.bar) / 1000 : null;
  };
  const stale = (row) => dataAge(row) > 2 * (store.row("health")?.bar ?? Infinity) / 1000 ? "warn" : "muted";
  const table = new KeyedTable(at("watch"), [
    ["symbol", (row) => row.symbol],
    ["last", (row) => price(row.last), number],
    ["day", (row) => signedPercent(row.last / row.first - 1), { number: true, style: (row) => gainOrLoss(row.last - row.first) }],
    ["age", (row) => age(Math.max(0, dataAge(row))), { number: true, style: stale }],
  ], { empty: "no bar yet", order: bySymbol, onRow: onSymbol, most: 500 });
  store.on("watch", (rows) => table.show(rows));
  return table;
}

export function showScanner(store) {
  const table = new KeyedTable(at("scanner"), [
    ["rank", (row) => row.rank ?? "", number],
    ["symbol", (row) => row.symbol],
    ["score", (row) => row.score === null ? DASH : row.score.toFixed(3), number],
    ["gap", (row) => signedPercent(row.gap), { number: true, style: (row) => gainOrLoss(row.gap) }],
    ["rel. volume", (row) => row.relative_volume === null ? DASH : row.relative_volume.toFixed(2), number],
    ["price", (row) => price(row.price), number],
    ["rejected by", (row) => row.rank ? "chosen" : (row.rejected_by ?? []).map(words).join(", "), { wrap: true, style: (row) => row.rank ? "gain" : "muted" }],
  ], { empty: "this day was not scanned", order: (a, b) => (a.rank ?? 1e9) - (b.rank ?? 1e9) || (b.score ?? -1e9) - (a.score ?? -1e9) });
  const chosen = (rows) => { let count = 0; for (const row of rows.values()) if (row.rank) count += 1; return count; };
  store.on("scanner", counted("scanner", table, (rows) => rows.size ? `${chosen(rows)} of ${rows.size} chosen` : ""));
}

export function showEvents(store) {
  const text = ["what", (row) => row.text, { wrap: true, style: (row) => row.level === "info" ? "" : row.level }];
  const events = new KeyedTable(at("events"), [["time", (row) => clock(row.at)], text], { order: newestFirst });
  store.on("events", (rows) => events.show(rows));
  const log = new KeyedTable(at("log"), [["time", (row) => row.time.slice(11, 19)], text], { empty: document.body.dataset.replayed === "yes" ? "a replay has no log" : "nothing yet", order: (a, b) => a.time < b.time ? 1 : -1 });
  store.on("log", (rows) => log.show(rows));
}
