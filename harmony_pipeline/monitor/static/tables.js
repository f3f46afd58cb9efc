// A table of rows under keys. Only cells whose text changed are touched; all text goes through textContent.
function write(cell, text, style) {
  if (cell.textContent !== text) cell.textContent = text;
  if (cell.className !== style) cell.className = style;
}

// columns: [heading, row => text, {number, wrap, style: row => class}]
export class KeyedTable {
  constructor(host, columns, { empty = "nothing yet", order = null, most = 200, onRow = null } = {}) {
    Object.assign(this, { host, columns, empty, order, most, onRow });
    this.rows = new Map();
    this.selected = null;
    this.table = document.createElement("table");
    const head = this.table.createTHead().insertRow();
    for (const [heading, , how = {}] of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = heading;
      if (how.number) cell.className = "n";
      head.append(cell);
    }
    this.body = this.table.createTBody();
    this.note = document.createElement("p");
    this.note.className = "empty";
    this.note.textContent = empty;
    host.replaceChildren(this.note);
  }

  show(table) {
    let entries = [...table];
    if (this.order) entries.sort((a, b) => this.order(a[1], b[1]));
    entries = entries.slice(0, this.most);
    const kept = new Set(entries.map(([key]) => key));
    for (const [key, row] of this.rows) if (!kept.has(key)) { row.remove(); this.rows.delete(key); }
    let place = this.body.firstElementChild;
    for (const [key, values] of entries) {
      let row = this.rows.get(key);
      if (!row) { row = this.make(key); this.rows.set(key, row); }
      this.fill(row, values);
      if (row === place) place = place.nextElementSibling; else this.body.insertBefore(row, place);
    }
    const shown = entries.length ? this.table : this.note;
    if (this.host.firstElementChild !== shown) this.host.replaceChildren(shown);
  }

  make(key) {
    const row = document.createElement("tr");
    for (let index = 0; index < this.columns.length; index += 1) row.insertCell();
    if (this.onRow) {
      row.tabIndex = 0;
      row.addEventListener("click", () => this.onRow(key));
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") this.onRow(key); });
    }
    return row;
  }

  fill(row, values) {
    this.columns.forEach(([, text, how = {}], index) => {
      const style = [how.number ? "n" : "", how.wrap ? "wrap" : "", how.style ? how.style(values) : ""].filter(Boolean).join(" ");
      write(row.cells[index], String(text(values)), style);
    });
  }

  select(key) {
    this.selected = key;
    for (const [each, row] of this.rows) row.setAttribute("aria-selected", String(each === key));
  }
}
