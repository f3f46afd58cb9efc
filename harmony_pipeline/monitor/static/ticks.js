// Last trades and quotes of the chosen symbol, asked for now and then.
import { KeyedTable } from "/static/tables.js";
import { clock, price, shares } from "/static/format.js";

const EVERY = 2000;
const number = { number: true };

export class Ticks {
  constructor(host) {
    const [trades, quotes] = [document.createElement("div"), document.createElement("div")];
    host.append(trades, quotes);
    this.symbol = null;
    this.trades = new KeyedTable(trades, [["trade", (row) => clock(row.at)], ["price", (row) => price(row.price), number], ["size", (row) => shares(row.size), number]], { empty: "no trades of this day in the lake", order: (a, b) => b.at - a.at });
    this.quotes = new KeyedTable(quotes, [["quote", (row) => clock(row.at)], ["size", (row) => shares(row.bid_size), number], ["bid", (row) => price(row.bid), number], ["ask", (row) => price(row.ask), number], ["size", (row) => shares(row.ask_size), number]], { empty: "no quotes of this day in the lake", order: (a, b) => b.at - a.at });
    setInterval(() => { if (!document.hidden) this.ask(); }, EVERY);
  }

  show(symbol) { this.symbol = symbol; this.ask(); }

  async ask() {
    const symbol = this.symbol;
    if (!symbol) return;
    try {
      const answer = await fetch(`/api/ticks?symbol=${encodeURIComponent(symbol)}`);
      if (!answer.ok) return;
      const found = await answer.json();
      if (found.symbol !== this.symbol) return;
      this.trades.show(new Map(found.trades.map((row, index) => [index, row])));
      this.quotes.show(new Map(found.quotes.map((row, index) => [index, row])));
    } catch { /* the connection's own sign says so */ }
  }
}
