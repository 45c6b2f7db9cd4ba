// The tree: a list of rows of which only those in sight are there, however many there are.

const ROW = 26, BEYOND = 8, MOST_UNFOLDED = 3000;
const view = document.getElementById("tree"), room = document.getElementById("rows");
const state = { roots: [], open: new Set(), rows: [], chosen: null, terms: [] };

function element(name, fields = {}, ...children) {
  const made = document.createElement(name);
  for (const [field, value] of Object.entries(fields)) {
    if (field === "class") made.className = value;
    else made.setAttribute(field, value);
  }
  made.append(...children);
  return made;
}

// Marks what is found. A term may stand in a node or in one that it is below; one of them at least in itself.
function mark(each, above, terms) {
  const all = (1 << terms.length) - 1;
  let own = 0;
  terms.forEach((term, nth) => { if (each.text.includes(term)) own |= 1 << nth; });
  each.isFound = own !== 0 && (own | above) === all;
  each.nFound = each.isFound ? 1 : 0;
  for (const child of each.children) each.nFound += mark(child, own | above, terms);
  each.isShown = terms.length === 0 || each.nFound > 0;
  return each.nFound;
}

function showBelow(each) {
  for (const child of each.children) {
    child.isShown = true;
    showBelow(child);
  }
}

function search(terms) {
  state.terms = terms;
  let found = 0;
  for (const root of state.roots) found += mark(root, 0, terms);
  state.open.clear();
  if (terms.length) state.roots.forEach((root) => unfoldFound(root, found <= MOST_UNFOLDED));
  view.scrollTop = 0;
  layOut();
  return found;
}

// What is found itself shows all that is below it, folded.
function unfoldFound(each, isFew) {
  const below = each.nFound - (each.isFound ? 1 : 0);
  if (below > 0 && isFew) state.open.add(each);
  for (const child of each.children) if (child.nFound > 0) unfoldFound(child, isFew);
  if (each.isFound && below === 0) showBelow(each);
}

function layOut() {
  const rows = [];
  const add = (each, depth, place, of) => {
    rows.push({ node: each, depth, place, of });
    if (state.open.has(each)) addAll(each.children, depth + 1);
  };
  const addAll = (nodes, depth) => {
    const those = nodes.filter((each) => each.isShown !== false);
    those.forEach((each, index) => add(each, depth, index + 1, those.length));
  };
  addAll(state.roots, 0);
  state.rows = rows;
  room.style.height = `${rows.length * ROW}px`;
  draw();
}

function draw() {
  const first = Math.max(0, Math.floor(view.scrollTop / ROW) - BEYOND);
  const last = Math.min(state.rows.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + BEYOND);
  const drawn = [];
  for (let index = first; index < last; index += 1) drawn.push(rowElement(state.rows[index], index));
  room.replaceChildren(...drawn);
  const chosen = state.rows.findIndex((row) => row.node === state.chosen);
  if (chosen >= first && chosen < last) view.setAttribute("aria-activedescendant", `row-${chosen}`);
  else view.removeAttribute("aria-activedescendant");
}

function rowElement({ node: each, depth, place, of }, index) {
  const hits = state.terms.length && each.children.length && each.nFound > (each.isFound ? 1 : 0)
    ? `${plural(each.nFound, "match", "matches")} · ` : "";
  const row = element("div", {
    class: "row", role: "treeitem", id: `row-${index}`, "aria-level": depth + 1, "aria-posinset": place, "aria-setsize": of,
    "aria-selected": each === state.chosen, title: shown(each.label),
  });
  if (each.children.length) row.setAttribute("aria-expanded", state.open.has(each));
  row.style.top = `${index * ROW}px`;
  row.style.paddingLeft = `${depth * 18 + 4}px`;
  row.append(
    element("span", { class: "fold" }),
    element("span", { class: each.kind === "path" || each.kind === "file" ? "name code" : "name" }, shown(each.label)),
    element("span", { class: "note" }, shown(hits + each.note)),
  );
  return row;
}

function fold(each, isOpen = !state.open.has(each)) {
  if (!each.children.length) return;
  if (isOpen) state.open.add(each);
  else state.open.delete(each);
  layOut();
}

function foldAll(isOpen) {
  state.open.clear();
  const unfold = (each) => {
    if (!each.children.length) return;
    state.open.add(each);
    each.children.forEach(unfold);
  };
  if (isOpen) state.roots.forEach(unfold);
  layOut();
}

function choose(each) {
  state.chosen = each;
  const index = state.rows.findIndex((row) => row.node === each);
  if (index >= 0) {
    const top = index * ROW;
    if (top < view.scrollTop) view.scrollTop = top;
    if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW - view.clientHeight;
  }
  draw();
  showDetails(each);
  markChosen(each);
}

// Unfolds all that a node is below, and chooses it.
function reveal(each) {
  for (let above = each.parent; above; above = above.parent) state.open.add(above);
  layOut();
  choose(each);
}

function step(by) {
  const at = state.rows.findIndex((row) => row.node === state.chosen);
  const next = Math.min(state.rows.length - 1, Math.max(0, at + by));
  if (state.rows[next]) choose(state.rows[next].node);
}

const keys = {
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  PageDown: () => step(Math.floor(view.clientHeight / ROW)),
  PageUp: () => step(-Math.floor(view.clientHeight / ROW)),
  Home: () => step(-state.rows.length),
  End: () => step(state.rows.length),
  ArrowRight: (each) => (each.children.length && !state.open.has(each) ? fold(each) : step(1)),
  ArrowLeft: (each) => {
    if (state.open.has(each)) fold(each);
    else if (each.parent) choose(each.parent);
  },
  Enter: (each) => fold(each),
  " ": (each) => fold(each),
};

view.addEventListener("scroll", draw, { passive: true });
view.addEventListener("keydown", (event) => {
  const act = keys[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const isInSight = state.rows.some((row) => row.node === state.chosen);
  if (!isInSight && state.rows[0]) choose(state.rows[0].node);
  if (isInSight || !event.key.startsWith("Arrow")) act(state.chosen);
});
room.addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (!row) return;
  const each = state.rows[Number(row.id.slice(4))].node;
  if (event.target.classList.contains("fold")) fold(each);
  choose(each);
});
room.addEventListener("dblclick", (event) => {
  const row = event.target.closest(".row");
  if (row && !event.target.classList.contains("fold")) fold(state.rows[Number(row.id.slice(4))].node);
});
new ResizeObserver(draw).observe(view);
