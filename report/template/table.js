// Tables that sort: each heading of a column becomes a button; pressed again it turns the order round,
// a third time it brings back the first order. What is missing stays last.
(() => {
  "use strict";
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

  // Which column a heading of one column stands over, where headings span rows and columns.
  function columns(table) {
    const taken = [], found = new Map();
    [...table.tHead.rows].forEach((row, y) => {
      let x = 0;
      for (const cell of row.cells) {
        while (taken[y]?.[x]) x++;
        for (let j = y; j < y + cell.rowSpan; j++) for (let i = x; i < x + cell.colSpan; i++) (taken[j] ??= [])[i] = true;
        if (cell.colSpan === 1) found.set(cell, x);
      }
    });
    return found;
  }

  // A cell's number, from data-value where its text is rounded or carries a unit.
  function value(cell) {
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = parseFloat(text.replace("−", "-"));
    return text === "" || text === "–" ? null : Number.isNaN(number) ? text : number;
  }

  function compare(one, other) {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  }

  function sort(table, column, order, first) {
    const turn = order === "descending" ? -1 : 1;
    const rows = first.map((row) => ({ row, key: value(row.cells[column]) }));
    if (order !== "none") rows.sort((a, b) => (a.key === null) - (b.key === null) || (a.key === null ? 0 : turn * compare(a.key, b.key)));
    table.tBodies[0].append(...rows.map(({ row }) => row));
  }

  function start(table) {
    table.dataset.sorts = "yes";
    const first = [...table.tBodies[0].rows], headings = columns(table);
    for (const [heading, column] of headings) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const order = NEXT[heading.getAttribute("aria-sort")];
        for (const each of headings.keys()) each.setAttribute("aria-sort", "none");
        heading.setAttribute("aria-sort", order);
        sort(table, column, order, first);
      });
    }
  }

  function startAll() {
    document.querySelectorAll("table:is(.glance, .every, .unseen, .measurements):not([data-sorts])").forEach(start);
  }
  document.addEventListener("tables", startAll);  // a list that was built when it was opened
  startAll();
})();
