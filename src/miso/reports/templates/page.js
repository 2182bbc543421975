"use strict";
// Tables sort by their headings (click, Enter or Space) and filter by words; without this they are plain tables.
(() => {
  const MANY_ROWS = 8;
  const byName = new Intl.Collator("en", { numeric: true });
  const NONE = new Set(["", "–", "nan"]);

  // What a cell sorts by: its data-sort where it has one, a number in columns of numbers, its text elsewhere.
  function keyOf(cell, isText) {
    const said = (cell.dataset.sort ?? cell.textContent).trim();
    if (NONE.has(said.toLowerCase())) return null;
    if (isText) return said;
    const found = Number.parseFloat(said.replaceAll(",", "").replace("−", "-"));
    return Number.isNaN(found) ? null : found;
  }

  function sort(table, column, heading) {
    const isText = heading.classList.contains("text");
    const now = heading.getAttribute("aria-sort");
    const first = isText ? "ascending" : "descending"; // the largest figure, or the first name
    const other = first === "ascending" ? "descending" : "ascending";
    const order = now === first ? other : first;
    for (const each of heading.parentElement.cells) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [keyOf(row.cells[column], isText), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what is not known stays last
      return sign * (isText ? byName.compare(a, b) : a - b);
    });
    body.append(...keyed.map(([, row]) => row));
  }

  function makeSortable(table) {
    for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading));
    }
  }

  function makeFilter(table) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < MANY_ROWS) return;
    const bar = document.createElement("p");
    bar.className = "filter";
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "search";
    label.append("Filter rows", input);
    const said = document.createElement("output");
    said.textContent = `${rows.length} rows`;
    bar.append(label, said);
    (table.closest(".scroll") ?? table).before(bar);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      bar.classList.toggle("active", words.length > 0);
      said.textContent = words.length
        ? `${shown} of ${rows.length} rows hold “${words.join(" ")}”`
        : `${rows.length} rows`;
    });
  }

  for (const table of document.querySelectorAll("table")) {
    if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 2) continue;
    makeSortable(table);
    makeFilter(table);
  }
})();
