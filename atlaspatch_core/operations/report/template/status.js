{
  const rows = [...byId("matrix").tBodies[0].rows].map((row) => ({
    row,
    words: (row.cells[0].textContent + " " + row.lastElementChild.textContent).toLowerCase(),
    states: [...row.querySelectorAll("td[data-state]")].map((cell) => cell.dataset.state),
  }));

  const fits = ({ words, states }) => {
    const state = byId("state").value, output = byId("output").selectedIndex - 1;
    const chosen = output < 0 ? states : [states[output]];
    const inState = !state || (state === "not fresh" ? chosen.some((name) => name !== "fresh") : chosen.includes(state));
    return inState && words.includes(byId("words").value.trim().toLowerCase());
  };
  const filter = () => {
    let shown = 0;
    for (const each of rows) {
      each.row.hidden = !fits(each);
      shown += !each.row.hidden;
    }
    byId("count").value = shown + " of " + rows.length + " slides";
  };
  startFilter(["words", "state", "output"], filter);
}
