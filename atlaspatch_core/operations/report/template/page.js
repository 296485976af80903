{
  const gallery = byId("gallery");
  const cards = [...gallery.children];
  const dots = [...document.querySelectorAll(".dot")];

  // The gallery: sorted and filtered, and the table and the maps with it.
  const number = (card, key) => (key in card.dataset ? Number(card.dataset[key]) : Infinity);
  const order = (key) => (a, b) =>
    key === "name" ? compare(a.dataset.name, b.dataset.name) : number(a, key) - number(b, key) || compare(a.dataset.name, b.dataset.name);
  const fits = (card) =>
    card.dataset.name.toLowerCase().includes(byId("name").value.trim().toLowerCase()) &&
    (!byId("kind").value || card.dataset.kinds.split(" ").includes(byId("kind").value)) &&
    (!byId("scanner").value || card.dataset.scanner === byId("scanner").value);
  const rows = new Map([...document.querySelectorAll("tr[data-slide]")].map((row) => ["slide-" + row.dataset.slide, row]));
  const filter = () => {
    const shown = new Set();
    for (const card of cards) {
      card.hidden = !fits(card);
      if (!card.hidden) shown.add(card.id);
      rows.get(card.id).hidden = card.hidden;
    }
    for (const dot of dots) dot.classList.toggle("dim", !shown.has("slide-" + dot.dataset.slide));
    byId("count").value = shown.size + " of " + cards.length + " slides";
  };
  const sort = () => gallery.append(...cards.sort(order(byId("sort").value)));
  byId("sort").addEventListener("change", sort);
  if (byId("sort").value !== "urgency") sort(); // the page is written in that order; a browser may remember another
  startFilter(["name", "kind", "scanner"], filter);

  // A link to a slide that is filtered out shows it again.
  addEventListener("hashchange", () => {
    const card = byId(location.hash.slice(1));
    if (!card || card.parentElement !== gallery) return;
    if (card.hidden) {
      for (const id of ["name", "kind", "scanner"]) byId(id).value = "";
      filter();
    }
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "start" });
  });
}
