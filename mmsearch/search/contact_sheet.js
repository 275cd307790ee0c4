// The page reads without this; here are only the comforts: sorting, and a large view to leaf through.
"use strict";

const lists = [...document.querySelectorAll(".hits")];

const orders = {
  rank: (a, b) => a.dataset.rank - b.dataset.rank,
  score: (a, b) => b.dataset.score - a.dataset.score || orders.rank(a, b),
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }) || orders.rank(a, b),
};

const sort = document.querySelector(".sort");
sort.hidden = false;
sort.addEventListener("click", ({ target }) => {
  if (!target.dataset.order) return;
  for (const button of sort.querySelectorAll("button")) button.ariaPressed = String(button === target);
  for (const list of lists) list.append(...[...list.children].sort(orders[target.dataset.order]));
});

const viewer = document.querySelector("dialog");
const figure = viewer.querySelector("figure");
let tile = null;

function show(next) {
  if (!next) return;
  tile = next;
  figure.replaceChildren(...[...tile.querySelector("figure").children].map((part) => part.cloneNode(true)));
  if (!viewer.open) viewer.showModal();
}

function step(by) {
  const tiles = [...document.querySelectorAll(".hits > li")].filter((each) => each.querySelector(".open"));
  show(tiles[tiles.indexOf(tile) + by]);
}

for (const list of lists) {
  list.addEventListener("click", (event) => {
    const link = event.target.closest(".open");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.closest("li"));
  });
}
viewer.querySelector(".previous").addEventListener("click", () => step(-1));
viewer.querySelector(".next").addEventListener("click", () => step(1));
viewer.addEventListener("keydown", ({ key }) => {
  if (key === "ArrowLeft") step(-1);
  if (key === "ArrowRight") step(1);
});
viewer.addEventListener("close", () => tile?.querySelector(".open")?.focus());
