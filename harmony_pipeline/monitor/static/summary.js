// The head of the page, the limits in use, and health.
import { age, clock, duration, gainOrLoss, money, percent, signedMoney, signedPercent, words, whole, DASH } from "/static/format.js";

const at = (id) => document.getElementById(id);
function write(id, text, style = "") { const element = at(id); if (element.textContent !== text) element.textContent = text; element.className = style; }

const STATES = { running: "good", completed: "", stopped: "warn", killed: "bad" };
const RISK = { ACTIVE: "good", REDUCING: "warn", HALTED: "bad" };

export function showSession(store) {
  store.on("session", () => {
    const session = store.row("session");
    const problem = at("problem");
    problem.hidden = !session?.problem;
    problem.textContent = session?.problem ?? "";
    if (!session || session.problem) return;
    document.title = `${session.date} ${session.strategy}`;
    write("strategy", `${words(session.strategy)}, ${session.date}`);
    write("session-id", session.session_id, "muted");
    write("state", session.replayed && session.state === "running" ? "replay" : session.state, `pill ${STATES[session.state] ?? ""}`);
    const risk = session.killed ? "HALTED" : session.risk_state;
    const breakers = session.breakers.length ? ` (${session.breakers.map(words).join(", ")})` : "";
    write("risk-state", risk + breakers, `pill ${session.breakers.length ? "bad" : RISK[risk] ?? ""}`);
    if (session.killed) { problem.hidden = false; problem.textContent = `The kill switch is on: ${session.killed}`; }
    if (!session.killed && session.reason) { problem.hidden = false; problem.textContent = `The session was ${session.state}: ${session.reason}`; }
    at("rearm").hidden = !session.killed;
    const made = session.equity === null ? null : session.equity - session.base;
    write("equity", money(session.equity));
    write("day", made === null ? DASH : `${signedMoney(made)} (${signedPercent(made / session.base)})`, gainOrLoss(made));
    write("realized", signedMoney(session.realized), gainOrLoss(session.realized));
    write("fees", money(session.fees));
    write("drawdown", percent(session.drawdown));
  });
  store.on("positions", (rows) => {
    let open = 0;
    for (const row of rows.values()) open += row.profit ?? 0;
    write("unrealized", signedMoney(open), gainOrLoss(open));
  });
}

export function showLimits(store) {
  const host = at("limits"), shown = new Map();
  const make = (name) => {
    const box = document.createElement("div");
    const [label, value, track, fill] = ["span", "span", "div", "div"].map((tag) => document.createElement(tag));
    value.className = "value"; track.className = "track"; fill.className = "fill";
    track.append(fill);
    box.append(label, value, track);
    box.title = "used / limit; cut: orders that it refused or made smaller";
    host.append(box);
    const parts = { box, label, value, fill };
    shown.set(name, parts);
    return parts;
  };
  store.on("limits", (rows) => {
    for (const [name, parts] of shown) if (!rows.has(name)) { parts.box.remove(); shown.delete(name); }
    for (const [name, row] of rows) {
      const parts = shown.get(name) ?? make(name);
      const write = row.fraction ? (value) => percent(value, 1) : whole;
      parts.label.textContent = words(row.name.replace("max_", "")) + (row.orders ? `, ${row.orders} cut` : "");
      parts.value.textContent = `${write(row.used)} / ${write(row.limit)}`;
      parts.fill.style.width = `${Math.min(100, row.share * 100).toFixed(1)}%`;
      parts.box.className = `limit${row.share >= 1 ? " over" : row.share >= 0.8 ? " near" : ""}`;
    }
  });
}

export function showHealth(store) {
  const host = at("health");
  const show = () => {
    const health = store.row("health"), session = store.row("session");
    if (!health || !session || session.problem) return;
    write("clock", clock(health.now));
    const bars = [...store.table("watch").values()].map((row) => row.t);
    const newest = bars.length ? (health.now - Math.max(...bars) - health.bar) / 1000 : null;
    const oldest = bars.length ? (health.now - Math.min(...bars) - health.bar) / 1000 : null;
    const beat = health.heartbeat_age;
    const path = (step) => `${duration(health[`${step}_p50`])} / ${duration(health[`${step}_p95`])} / ${duration(health[`${step}_max`])}`;
    const lines = [
      ["process", session.replayed ? "replayed" : health.running ? `alive, ${health.pid ?? DASH}` : "none", !session.replayed && !health.running && session.state === "running" ? "bad" : ""],
      ["heartbeat", health.running ? age(beat) : DASH, beat > 30 && health.running ? "bad" : ""],
      ["data age, newest", age(newest === null ? null : Math.max(0, newest)), ""],
      ["data age, oldest", age(oldest === null ? null : Math.max(0, oldest)), ""],
      ["orders, fills", `${whole(session.orders)}, ${whole(session.fills)}`, ""],
      ["ledger events", whole(health.events), ""],
      ["order path", "p50 / p95 / max", "muted"],
      ["intent to sent", path("submitted"), ""],
      ["sent to accepted", path("accepted"), ""],
      ["accepted to filled", path("filled"), ""],
    ];
    while (host.children.length < lines.length * 2) host.append(document.createElement("dt"), document.createElement("dd"));
    lines.forEach(([name, text, style], index) => {
      const [label, value] = [host.children[2 * index], host.children[2 * index + 1]];
      if (label.textContent !== name) label.textContent = name;
      if (value.textContent !== text) value.textContent = text;
      value.className = style;
    });
  };
  store.on("health", show);
  store.on("session", show);
}
