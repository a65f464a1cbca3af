(function () {
  "use strict";
  const number = /^([+×-]?\d[\d.]*(?:e[+-]?\d+)?)(?:-\d[\d.]*)?\s*(?:([GMk])(?![A-Za-z])|([GMkmµnp])(?=J))?/;
  const factor = { G: 1e9, M: 1e6, k: 1e3, m: 1e-3, "µ": 1e-6, n: 1e-9, p: 1e-12 };

  // What is not known sorts last in both directions: it is no small number.
  function key(cell) {
    const text = cell.textContent.trim();
    if (text === "-" || text === "") return null;
    const match = number.exec(text);
    if (!match) return text;
    return parseFloat(match[1].replace("×", "")) * (factor[match[2] || match[3]] || 1);
  }

  function order(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b));
  }

  function sort(table, column, header) {
    const falling = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return falling ? order(b, a) : order(a, b);
    });
    for (const [, row] of rows) body.appendChild(row);
  }

  // Buttons come with the script, so that a page without one offers nothing that does not work.
  for (const table of document.querySelectorAll("table.sortable")) {
    if (table.tBodies[0].rows.length < 2) continue;
    Array.from(table.tHead.rows[0].cells, (header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.title = "Sort by this column";
      button.addEventListener("click", () => sort(table, column, header));
      header.append(button);
    });
  }
})();
