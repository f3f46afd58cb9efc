// Puts the page together.
import { listenForActions } from "/static/actions.js";
import { SymbolChart, showEquity } from "/static/charts.js";
import { showEvents, showFills, showOrders, showPositions, showScanner, showWatch } from "/static/panels.js";
import { Store } from "/static/store.js";
import { follow } from "/static/stream.js";
import { showHealth, showLimits, showSession } from "/static/summary.js";
import { Ticks } from "/static/ticks.js";

const at = (id) => document.getElementById(id);
const store = new Store();
const chart = new SymbolChart(store, at("chart"));
const ticks = new Ticks(at("ticks"));

let watch = null;
function choose(symbol) {
  chart.show(symbol);
  ticks.show(symbol);
  watch.select(symbol);
}
watch = showWatch(store, choose);
showPositions(store, choose);
showOrders(store);
showFills(store);
showScanner(store);
showEvents(store);
showSession(store);
showLimits(store);
showHealth(store);
showEquity(store, at("equity-chart"));
listenForActions();

// The first symbol that is held or has bars, until somebody chooses another.
function chooseFirst() {
  if (chart.symbol && store.table("watch").has(chart.symbol)) return;
  const held = [...store.table("positions").values()].map((row) => row.symbol).sort(), heard = [...store.table("watch").keys()].sort();
  const first = held.find((symbol) => store.table("watch").has(symbol)) ?? heard[0];
  if (first) choose(first);
}
store.on("watch", chooseFirst);
store.on("whole", () => { if (chart.symbol && store.table("watch").has(chart.symbol)) choose(chart.symbol); });

follow(store, (linked) => {
  at("link").textContent = linked ? "connected" : "no connection";
  at("link").className = `pill ${linked ? "good" : "bad"}`;
});
