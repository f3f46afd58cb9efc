// The tables as the server tells them; whoever shows one is called at most once a frame.
export class Store {
  constructor() {
    this.tables = new Map();
    this.listeners = new Map();
    this.passing = new Map();
    this.waiting = new Set();
    this.scheduled = false;
  }

  table(name) {
    if (!this.tables.has(name)) this.tables.set(name, new Map());
    return this.tables.get(name);
  }

  row(name, key = "") { return this.table(name).get(key); }

  on(name, listener) {
    if (!this.listeners.has(name)) this.listeners.set(name, []);
    this.listeners.get(name).push(listener);
  }

  // Rows of a passing table are handed over and not kept.
  onPassing(name, listener) { this.passing.set(name, listener); }

  replace(tables) {
    const names = new Set([...this.tables.keys(), ...Object.keys(tables)]);
    this.tables.clear();
    this.apply(tables);
    for (const name of names) this.changed(name);
    this.changed("whole");
  }

  apply(changes) {
    for (const [name, rows] of Object.entries(changes)) {
      if (this.passing.has(name)) { this.passing.get(name)(Object.values(rows)); continue; }
      const table = this.table(name);
      for (const [key, row] of Object.entries(rows)) {
        if (row === null) table.delete(key); else table.set(key, row);
      }
      this.changed(name);
    }
  }

  changed(name) {
    this.waiting.add(name);
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      const names = [...this.waiting];
      this.waiting.clear();
      for (const each of names) for (const listener of this.listeners.get(each) ?? []) listener(this.table(each));
    });
  }
}
