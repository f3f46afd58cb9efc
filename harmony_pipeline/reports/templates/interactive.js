"use strict";
/* Draws the figures of the page, sorts its tables, and shows a chosen trade on its candles. */
(() => {
  const CONFIG = { responsive: true, displaylogo: false, scrollZoom: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const GAIN = "#0072B2", LOSS = "#D55E00", INK = "#1f2933", MUTED = "#667380", GRID = "#e6e9ec";
  const read = (id) => { const held = document.getElementById(id); return held ? JSON.parse(held.textContent) : null; };
  const byId = (id) => document.getElementById(id);

  for (const held of document.querySelectorAll("script.figure")) {
    const figure = JSON.parse(held.textContent);
    Plotly.newPlot(held.dataset.place, figure.data, figure.layout, CONFIG);
  }

  /* Tables: a click on a heading sorts; numbers by value, empty cells last. */
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => { const cell = row.cells[column]; const told = cell.dataset.value ?? cell.textContent.trim();
        if (told === "") return null; const number = Number(told); return Number.isNaN(number) ? told : number; };
      const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
      rows.sort(([one], [other]) => one === null ? (other === null ? 0 : 1) : other === null ? -1
        : (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    }));
  }

  const packed = read("candles"), trades = read("trades");
  if (!packed || !trades) return;
  const chart = "trade-chart", symbols = byId("symbol-choice"), table = byId("trade-list");
  const number = (text) => Number(String(text).replaceAll(",", ""));
  const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const percent = (value) => value === null ? "–" : `${value >= 0 ? "+" : ""}${(100 * value).toFixed(2)}%`;
  const gain = (at) => trades.pnl[at] === null ? "" : trades.pnl[at] > 0 ? "yes" : "no";

  /* The list: one row a trade, made from the columns. */
  const heads = [...table.tHead.rows[0].cells];
  const shown = (name, at) => { const value = trades[name][at];
    return value === null ? "–" : name === "return" ? percent(value) : typeof value === "number" ? money.format(value) : value; };
  const rows = trades.symbol.map((_, at) => {
    const row = document.createElement("tr");
    for (const head of heads) {
      const name = head.dataset.name, cell = row.insertCell(), value = trades[name][at];
      cell.textContent = shown(name, at);
      cell.className = name === "pnl" && value ? `number ${value > 0 ? "gain" : "loss"}` : head.className;
      cell.dataset.value = value === null ? "" : head.className === "number" ? number(value) : value;
    }
    if (packed.places[at]) row.addEventListener("click", () => showTrade(at)); else row.className = "plain";
    return row;
  });
  table.tBodies[0].append(...rows);

  /* Bars: times travel as steps in seconds on the exchange's clock. */
  for (const data of Object.values(packed.bars)) {
    let moment = 0;
    data.label = data.time.map((step) => { moment += step; const text = new Date(moment * 1000).toISOString().replace("T", " ");
      return packed.dates ? text.slice(0, 10) : moment % 60 ? text.slice(0, 19) : text.slice(0, 16); });
  }
  const candles = (data, labels, from, to) => ({ type: "candlestick", x: labels.slice(from, to), name: "", showlegend: false,
    open: data.open.slice(from, to), high: data.high.slice(from, to), low: data.low.slice(from, to), close: data.close.slice(from, to),
    increasing: { line: { color: GAIN, width: 1 }, fillcolor: "#cfe3f1" }, decreasing: { line: { color: LOSS, width: 1 }, fillcolor: "#f6d9c6" } });
  const marks = (x, y, colour, symbol, name, text, size = 12) => ({ type: "scatter", mode: "markers", x, y, name, text,
    marker: { color: colour, size, symbol, line: { color: "#fff", width: 1.5 } }, hovertemplate: "%{text}<extra></extra>" });
  const layout = (title, axis) => ({ height: 440, margin: { l: 64, r: 20, t: 44, b: 46 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    title: { text: title, x: 0, xanchor: "left", xref: "container", font: { size: 14, color: INK } }, hovermode: "closest", dragmode: "zoom",
    font: { family: 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif', size: 12.5, color: INK },
    legend: { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "bottom" },
    xaxis: { rangeslider: { visible: false }, showgrid: false, tickfont: { color: MUTED }, nticks: 8, tickangle: 0, ...axis },
    yaxis: { gridcolor: GRID, tickfont: { color: MUTED }, zeroline: false, automargin: true } });
  const entered = (at) => `${trades.side[at] === "long" ? "bought" : "sold"} ${shown("quantity", at)} at ${shown("entry_price", at)}<br>${shown("entry_timestamp", at)}`;
  const left = (at) => `left by ${shown("exit_reason", at)} at ${shown("exit_price", at)}<br>${shown("exit_timestamp", at)}<br>${shown("pnl", at)} (${shown("return", at)})`;
  const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  /* One trade: its bars, both fills, the stop and the limit as they moved with splits. */
  function showTrade(at) {
    const [first, last, entry, exit, stop, take, late] = packed.places[at], symbol = trades.symbol[at], data = packed.bars[symbol];
    rows.forEach((row, other) => row.classList.toggle("chosen", other === at));
    const traces = [candles(data, data.label, first, last + 1)];
    for (const [level, colour, name] of [[take, GAIN, "limit"], [stop, LOSS, "stop"]]) {
      if (level === null || entry === null) continue;
      const places = Array.from({ length: (exit ?? last) - entry - late + 1 }, (_, step) => entry + late + step);
      traces.push({ type: "scatter", mode: "lines", x: places.map((place) => data.label[place]), y: places.map((place) => level * data.factor[entry] / data.factor[place]),
        name, line: { color: colour, width: 1.4, dash: "dot", shape: "hv" }, hovertemplate: `${name} %{y}<extra></extra>` });
    }
    if (entry !== null) traces.push(marks([data.label[entry]], [number(trades.entry_price[at])], INK, trades.side[at] === "long" ? "triangle-up" : "triangle-down", "entry", [entered(at)]));
    if (exit !== null) traces.push(marks([data.label[exit]], [number(trades.exit_price[at])], gain(at) === "yes" ? GAIN : LOSS, "x", "exit", [left(at)]));
    const cut = exit === null && trades.exit_price[at] !== null ? ", its end is not shown" : "";
    Plotly.react(chart, traces, layout(`${escaped(symbol)} ${trades.side[at]}, ${shown("return", at)}${cut}`, { type: "category" }), CONFIG);
    byId("shown-trade").textContent = `${shown("entry_timestamp", at)} to ${shown("exit_timestamp", at)}`;
  }

  /* One symbol over the whole run, by day, with every entry and exit. */
  function showSymbol(symbol) {
    const data = packed.days[symbol];
    if (!data) return;
    rows.forEach((row) => row.classList.remove("chosen"));
    const days = [...data.entries, ...data.exits].filter((day) => day !== null);
    const traces = [candles(data, data.date, Math.max(0, Math.min(...days) - 20), data.date.length)];
    const kinds = [
      ["entry, long", INK, "triangle-up", data.entries, "entry_price", entered, (at) => trades.side[at] === "long"],
      ["entry, short", MUTED, "triangle-down", data.entries, "entry_price", entered, (at) => trades.side[at] === "short"],
      ["exit, gain", GAIN, "x", data.exits, "exit_price", left, (at) => gain(at) === "yes"],
      ["exit, loss", LOSS, "x", data.exits, "exit_price", left, (at) => gain(at) === "no"],
    ];
    for (const [name, colour, mark, places, price, words, belongs] of kinds) {
      const mine = data.trades.map((at, place) => [at, places[place]]).filter(([at, day]) => day !== null && belongs(at));
      if (mine.length) traces.push({ ...marks(mine.map(([, day]) => data.date[day]), mine.map(([at]) => number(trades[price][at])), colour, mark, name, mine.map(([at]) => words(at)), 9),
        customdata: mine.map(([at]) => at) });
    }
    Plotly.react(chart, traces, layout(`${escaped(symbol)}, every trade by day`, { type: "date" }), CONFIG);
    byId("shown-trade").textContent = "a click on a mark opens that trade";
  }

  function filter() {
    const symbol = symbols.value, side = byId("side-choice").value, result = byId("result-choice").value;
    rows.forEach((row, at) => { row.hidden = (symbol && trades.symbol[at] !== symbol) || (side && trades.side[at] !== side) || (result && gain(at) !== result); });
    byId("trade-count").textContent = `${rows.filter((row) => !row.hidden).length} trades`;
  }
  symbols.addEventListener("change", () => { filter(); showSymbol(symbols.value); });
  for (const id of ["side-choice", "result-choice"]) byId(id).addEventListener("change", filter);
  filter();
  const best = packed.places.reduce((found, place, at) => place && (found === null || (trades.pnl[at] ?? -Infinity) > (trades.pnl[found] ?? -Infinity)) ? at : found, null);
  if (best !== null) showTrade(best); else Plotly.newPlot(chart, [], layout("no candles", {}), CONFIG);
  for (const id of ["by-trade", chart]) byId(id)?.on?.("plotly_click", (event) => {
    const at = event.points?.[0]?.customdata;
    if (Number.isInteger(at) && packed.places[at]) { showTrade(at); byId(chart).scrollIntoView({ block: "center", behavior: "smooth" }); }
  });
})();
