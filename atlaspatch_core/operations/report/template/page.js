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
  sort();
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

  // Maps: one stop of the Tab key each; arrow keys go to the next dot on that side.
  const peek = (dot) => {
    const card = byId("slide-" + dot.dataset.slide);
    const box = dot.closest(".map").querySelector(".peek");
    const name = document.createElement("h4");
    name.textContent = card.dataset.name;
    const picture = card.querySelector(".frame").cloneNode(true);
    picture.querySelector("img")?.setAttribute("loading", "eager");
    const near = document.createElement("ol");
    for (const line of dot.dataset.near.split("\n").filter(Boolean)) near.append(Object.assign(document.createElement("li"), { textContent: line }));
    const words = Object.assign(document.createElement("p"), { textContent: near.children.length ? "Nearest, with cosine:" : "" });
    box.replaceChildren(name, picture, words, near);
  };
  const place = (dot) => [dot.firstElementChild.cx.baseVal.value, dot.firstElementChild.cy.baseVal.value];
  const sides = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  const next = (dot, [right, down], among) => {
    const [x, y] = place(dot);
    let best = null, least = Infinity;
    for (const other of among) {
      const dx = place(other)[0] - x, dy = place(other)[1] - y;
      const along = dx * right + dy * down, aside = Math.abs(dx * down) + Math.abs(dy * right);
      const far = along + 2 * aside;
      if (other !== dot && along > 0 && far < least) [best, least] = [other, far];
    }
    return best;
  };
  for (const map of document.querySelectorAll(".map")) {
    const inside = [...map.querySelectorAll(".dot")];
    inside.forEach((dot, index) => dot.setAttribute("tabindex", index ? "-1" : "0"));
    const go = (dot) => {
      for (const other of inside) other.setAttribute("tabindex", other === dot ? "0" : "-1");
      dot.focus();
    };
    map.addEventListener("pointerover", (event) => event.target.closest(".dot") && peek(event.target.closest(".dot")));
    map.addEventListener("focusin", (event) => event.target.closest(".dot") && peek(event.target.closest(".dot")));
    map.addEventListener("keydown", (event) => {
      const dot = event.target.closest(".dot");
      if (!dot || !(event.key in sides || event.key === "Home" || event.key === "End")) return;
      event.preventDefault();
      const other = event.key === "Home" ? inside[0] : event.key === "End" ? inside.at(-1) : next(dot, sides[event.key], inside);
      if (other) go(other);
    });
  }
}
