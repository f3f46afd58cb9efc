// The candles of one symbol with volume, indicators and fills, and the equity curve.
import { createChart, createSeriesMarkers, AreaSeries, CandlestickSeries, HistogramSeries, LineSeries } from "/static/lightweight-charts.mjs";
import { price, words } from "/static/format.js";

const LINES = ["#e69f00", "#56b4e9", "#cc79a7", "#999999"];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const seconds = (milliseconds) => Math.floor(milliseconds / 1000);

const points = (values) => values.filter(([, value]) => value !== null).map(([t, value]) => ({ time: seconds(t), value }));

function look() {
  return {
    layout: { background: { color: css("--paper") }, textColor: css("--muted"), fontSize: 11, attributionLogo: false, panes: { separatorColor: css("--line") } },
    grid: { vertLines: { visible: false }, horzLines: { color: css("--line") } },
    rightPriceScale: { borderVisible: false }, timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
    localization: { priceFormatter: price },
  };
}

function themed(chart, restyle) {
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", () => { chart.applyOptions(look()); restyle(); });
  restyle();
}

export class SymbolChart {
  constructor(store, host) {
    this.store = store;
    this.symbol = null;
    this.lines = [];
    this.bars = new Map();
    this.chart = createChart(host, { ...look(), autoSize: true });
    this.candles = this.chart.addSeries(CandlestickSeries, { priceLineVisible: false });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.markers = createSeriesMarkers(this.candles, []);
    this.levels = [];
    themed(this.chart, () => this.restyle());
    store.onPassing("bars", (rows) => this.add(rows));
    this.grown = false;
    setInterval(() => this.refreshIndicators(), 5000);
    store.on("fills", () => this.mark());
    store.on("positions", () => this.showLevels());
  }

  restyle() {
    const [up, down] = [css("--gain"), css("--loss")];
    this.candles.applyOptions({ upColor: up, downColor: down, borderVisible: false, wickUpColor: up, wickDownColor: down });
    this.volume.applyOptions({ color: css("--bar") });
  }

  async show(symbol) {
    this.symbol = symbol;
    this.grown = false;
    document.getElementById("chart-symbol").textContent = symbol;
    this.bars.clear();
    const answer = await fetch(`/api/chart?symbol=${encodeURIComponent(symbol)}`);
    if (!answer.ok || this.symbol !== symbol) return;
    const found = await answer.json();
    if (this.symbol !== symbol) return;
    for (const [t, o, h, l, c, v] of found.bars) if (!this.bars.has(t)) this.bars.set(t, { t, o, h, l, c, v });
    this.redraw();
    this.drawIndicators(found.indicators);
    this.mark();
    this.showLevels();
    this.chart.timeScale().setVisibleLogicalRange({ from: this.bars.size - 110, to: this.bars.size + 4 });
  }

  redraw() {
    const rows = [...this.bars.values()].sort((a, b) => a.t - b.t);
    this.candles.setData(rows.map((bar) => ({ time: seconds(bar.t), open: bar.o, high: bar.h, low: bar.l, close: bar.c })));
    this.volume.setData(rows.map((bar) => ({ time: seconds(bar.t), value: bar.v })));
    this.last = rows.length ? rows[rows.length - 1].t : 0;
  }

  add(rows) {
    let late = false;
    for (const bar of rows) {
      if (bar.symbol !== this.symbol) continue;
      this.bars.set(bar.t, bar);
      this.grown = true;
      if (bar.t < this.last) { late = true; continue; }
      this.last = bar.t;
      this.candles.update({ time: seconds(bar.t), open: bar.o, high: bar.h, low: bar.l, close: bar.c });
      this.volume.update({ time: seconds(bar.t), value: bar.v });
    }
    if (late) this.redraw();
  }

  // Bars come by themselves; the lake is asked for indicators now and then.
  async refreshIndicators() {
    const symbol = this.symbol;
    if (!this.grown || document.hidden) return;
    this.grown = false;
    const answer = await fetch(`/api/chart?symbol=${encodeURIComponent(symbol)}`).catch(() => null);
    if (!answer?.ok || this.symbol !== symbol) return;
    const { indicators } = await answer.json();
    if (this.symbol === symbol) this.drawIndicators(indicators);
  }

  // Indicators have a pane of their own: they are seldom prices.
  drawIndicators(indicators) {
    const names = Object.keys(indicators);
    if (names.length === this.lines.length) {
      names.forEach((name, index) => this.lines[index].setData(points(indicators[name])));
      return;
    }
    for (const line of this.lines) this.chart.removeSeries(line);
    this.lines = names.map((name, index) => {
      const scale = index % 2 ? "left" : "right";
      const line = this.chart.addSeries(LineSeries, { color: LINES[index % LINES.length], lineWidth: 1, priceScaleId: scale, priceLineVisible: false, lastValueVisible: false, priceFormat: { type: "custom", minMove: 1e-6, formatter: (value) => value.toPrecision(3) } }, 1);
      line.setData(points(indicators[name]));
      return line;
    });
    const panes = this.chart.panes();
    if (panes.length > 1) { panes[0].setStretchFactor(4); panes[1].setStretchFactor(1); }
    const legend = document.getElementById("legend");
    legend.replaceChildren(...names.map((name, index) => {
      const item = document.createElement("span");
      item.textContent = `${index ? " · " : ""}${words(name)}`;
      item.style.color = LINES[index % LINES.length];
      return item;
    }));
  }

  // A marker stands on the bar in which the fill happened.
  mark() {
    const times = [...this.bars.keys()].sort((a, b) => a - b);
    if (!times.length) return;
    const bar = (at) => { let low = 0, high = times.length - 1; while (low < high) { const mid = (low + high + 1) >> 1; if (times[mid] <= at) low = mid; else high = mid - 1; } return times[low]; };
    const found = [];
    for (const fill of this.store.table("fills").values()) {
      if (fill.symbol !== this.symbol) continue;
      const buy = fill.side === "buy", entry = fill.role === "entry";
      found.push({ time: seconds(bar(fill.at)), position: buy ? "belowBar" : "aboveBar", shape: entry ? (buy ? "arrowUp" : "arrowDown") : "circle", color: buy ? css("--gain") : css("--loss"), text: words(fill.role) });
    }
    this.markers.setMarkers(found.sort((a, b) => a.time - b.time));
  }

  showLevels() {
    const held = [...this.store.table("positions").values()].filter((row) => row.symbol === this.symbol);
    const wanted = held.flatMap((row) => [["entry", row.entry, css("--muted")], ["stop", row.stop, css("--loss")], ["take", row.take, css("--gain")]]
      .map(([word, level, color]) => [row.strategy ? `${row.strategy} ${word}` : word, level, color])).filter(([, level]) => level);
    const text = JSON.stringify(wanted);
    if (text === this.shownLevels) return;
    this.shownLevels = text;
    for (const line of this.levels) this.candles.removePriceLine(line);
    this.levels = wanted.map(([title, level, color]) => this.candles.createPriceLine({ price: level, color, title, lineWidth: 1, lineStyle: 2, axisLabelVisible: true }));
  }
}

export function showEquity(store, host) {
  const chart = createChart(host, { ...look(), autoSize: true });
  const area = chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false });
  let base = null;
  themed(chart, () => area.applyOptions({ lineColor: css("--accent"), topColor: `${css("--accent")}40`, bottomColor: `${css("--accent")}00` }));
  store.on("equity", (rows) => {
    area.setData([...rows.values()].sort((a, b) => a.t - b.t).map((row) => ({ time: seconds(row.t), value: row.equity })));
    chart.timeScale().fitContent();
  });
  store.on("session", () => {
    const session = store.row("session");
    if (!session || session.problem || base?.options().price === session.base) return;
    if (base) area.removePriceLine(base);
    base = area.createPriceLine({ price: session.base, color: css("--muted"), lineWidth: 1, lineStyle: 2, title: "open", axisLabelVisible: false });
  });
}
