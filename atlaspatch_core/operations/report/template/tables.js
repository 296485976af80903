"use strict";
const byId = (id) => document.getElementById(id);
const compare = new Intl.Collator("en", { numeric: true }).compare;

// The form above the slides: shown where scripts run; filter runs at the start and at every input.
const startFilter = (ids, filter) => {
  const tools = document.querySelector(".tools");
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("reset", () => setTimeout(filter));
  for (const id of ids) byId(id).addEventListener("input", filter);
  filter();
};

{
  // Tables: the name of a column sorts by it, once more the other way round. data-key stands for a cell's text.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const text = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
        body.append(...[...body.rows].sort((a, b) => (down ? -1 : 1) * compare(text(a), text(b))));
      });
    });
  }
}
