{
  const colour = byId("colour");
  const maps = [...document.querySelectorAll(".map")];
  const reach = 14; // units of the drawing: how near the pointer has to come to a dot

  // What a dot stands for: its slide's picture, labels and nearest slides, beside the map.
  const cardOf = (dot) => byId("slide-" + dot.dataset.slide);
  const element = (name, textContent) => Object.assign(document.createElement(name), { textContent });
  const peek = (dot) => {
    const card = cardOf(dot);
    const picture = card.querySelector(".frame").cloneNode(true);
    picture.querySelector("img")?.setAttribute("loading", "eager");
    const near = element("ol", "");
    near.append(...dot.dataset.near.split("\n").filter(Boolean).map((line) => element("li", line)));
    const labels = [...card.querySelectorAll(".labels")].map((list) => list.cloneNode(true));
    const words = element("p", near.children.length ? "Nearest, with cosine:" : "");
    dot.closest(".map").querySelector(".peek").replaceChildren(element("h4", card.dataset.name), picture, ...labels, words, near);
  };

  // Beside the dot: the name of the slide, and what it is coloured by.
  const shownValue = (dot) => {
    const column = cardOf(dot).querySelectorAll(".labels dd")[Number(colour.value)];
    const line = dot.closest(".map").querySelector(`.legend:not([hidden]) [data-group="${dot.dataset.group}"] .words`);
    return (column ?? line).textContent;
  };
  const showTip = (dot) => {
    const map = dot.closest(".map"), tip = map.querySelector(".tip");
    const at = dot.getBoundingClientRect(), from = map.getBoundingClientRect();
    tip.replaceChildren(element("b", cardOf(dot).dataset.name), element("span", colour.selectedOptions[0].text + ": " + shownValue(dot)));
    tip.hidden = false;
    tip.style.left = Math.min(at.right - from.left + 8, from.width - tip.offsetWidth) + "px";
    tip.style.top = at.bottom - from.top + 6 + "px";
  };
  const point = (dot) => {
    peek(dot);
    showTip(dot);
  };

  // Maps: one stop of the Tab key each; arrow keys go to the next dot on that side.
  const place = (dot) => [dot.firstElementChild.cx.baseVal.value, dot.firstElementChild.cy.baseVal.value];
  const sides = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  const next = (from, [right, down], among) => {
    let best = null, least = Infinity;
    for (const other of among) {
      const dx = other.at[0] - from.at[0], dy = other.at[1] - from.at[1];
      const along = dx * right + dy * down, aside = Math.abs(dx * down) + Math.abs(dy * right);
      const far = along + 2 * aside;
      if (other !== from && along > 0 && far < least) [best, least] = [other, far];
    }
    return best;
  };
  const nearestTo = ([x, y], among) => {
    let best = null, least = reach;
    for (const other of among) {
      const far = Math.hypot(other.at[0] - x, other.at[1] - y);
      const isThere = !other.dot.classList.contains("dim") && !other.dot.classList.contains("other");
      if (far < least && isThere) [best, least] = [other, far];
    }
    return best?.dot;
  };
  for (const map of maps) {
    const drawing = map.querySelector("svg");
    const inside = [...map.querySelectorAll(".dot")].map((dot) => ({ dot, at: place(dot) }));
    inside.sort((a, b) => a.dot.dataset.slide - b.dot.dataset.slide); // many dots are drawn in no order
    const of = new Map(inside.map((each) => [each.dot, each]));
    inside.forEach(({ dot }, index) => {
      dot.setAttribute("tabindex", index ? "-1" : "0");
      dot.querySelector("title").remove(); // the words beside the dot say more
    });
    let stop = inside[0]?.dot, pointed = null;
    const go = (dot) => {
      stop.setAttribute("tabindex", "-1");
      stop = dot;
      stop.setAttribute("tabindex", "0");
      stop.focus();
    };
    const under = (event) => {
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
      return event.target.closest(".dot") ?? nearestTo([x, y], inside);
    };
    const hover = (dot) => {
      if (dot === pointed) return;
      pointed?.classList.remove("pointed");
      pointed = dot;
      pointed?.classList.add("pointed");
      if (pointed) point(pointed);
      else map.querySelector(".tip").hidden = true;
    };
    drawing.addEventListener("pointermove", (event) => hover(under(event)));
    drawing.addEventListener("pointerleave", () => hover(null));
    drawing.addEventListener("click", (event) => {
      const dot = under(event);
      if (dot && !event.target.closest(".dot")) location.hash = dot.getAttribute("href");
    });
    drawing.addEventListener("focusin", (event) => point(event.target.closest(".dot")));
    drawing.addEventListener("focusout", () => (map.querySelector(".tip").hidden = true));
    drawing.addEventListener("keydown", (event) => {
      const dot = event.target.closest(".dot");
      if (!dot || !(event.key in sides || event.key === "Home" || event.key === "End")) return;
      event.preventDefault();
      const other = event.key === "Home" ? inside[0] : event.key === "End" ? inside.at(-1) : next(of.get(dot), sides[event.key], inside);
      if (other) go(other.dot);
    });
  }

  // Colours: of the column that is chosen; a line of the legend that is pressed leaves its slides alone in colour.
  const pick = (map, group) => {
    for (const dot of map.querySelectorAll(".dot")) dot.classList.toggle("other", group !== null && dot.dataset.group !== group);
    for (const line of map.querySelectorAll(".legend button")) line.setAttribute("aria-pressed", line.dataset.group === group);
  };
  const paint = () => {
    const { styles, groups } = colourings[Number(colour.value)];
    for (const map of maps) {
      for (const legend of map.querySelectorAll(".legend")) legend.hidden = legend.dataset.colouring !== colour.value;
      for (const { dataset } of map.querySelectorAll(".dot")) {
        dataset.group = groups[dataset.slide];
        dataset.style = styles[dataset.group];
      }
      pick(map, null);
    }
  };
  for (const map of maps) {
    map.addEventListener("click", (event) => {
      const line = event.target.closest(".legend button");
      if (line) pick(map, line.getAttribute("aria-pressed") === "true" ? null : line.dataset.group);
    });
  }
  if (colour) {
    colour.closest(".colour").hidden = false;
    colour.addEventListener("input", paint);
  }
}
