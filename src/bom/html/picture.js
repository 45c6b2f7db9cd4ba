// The picture: layers as frames, what is in them as areas of its size. It shows what the list shows, and is left out for
// those who can't see it.

const picture = document.getElementById("picture"), measure = document.getElementById("measure");
const MOST_AREAS = 300, HEAD = 16;
let areas = [];

const weightOf = (each) => (measure.value === "size" ? each.weight : each.count) || 0;

// Areas as near to squares as they can be (Bruls, Huizing, van Wijk: Squarified Treemaps).
function squarify(items, { x, y, w, h }, place) {
  let total = items.reduce((all, item) => all + item.weight, 0), from = 0;
  while (from < items.length && total > 0 && w > 0 && h > 0) {
    const side = Math.min(w, h), scale = (w * h) / total;
    const worst = (least, most, all) => Math.max((side * side * most) / (all * all), (all * all) / (side * side * least));
    let to = from, all = 0, ratio = Infinity;
    while (to < items.length) {
      const area = items[to].weight * scale;
      const next = worst(area, items[from].weight * scale, all + area);
      if (next > ratio) break;
      ratio = next; all += area; to += 1;
    }
    const depth = all / side;
    let at = 0;
    for (const item of items.slice(from, to)) {
      const length = (item.weight * scale) / depth;
      place(item, w >= h ? { x, y: y + at, w: depth, h: length } : { x: x + at, y, w: length, h: depth });
      at += length;
      total -= item.weight;
    }
    if (w >= h) { x += depth; w -= depth; } else { y += depth; h -= depth; }
    from = to;
  }
}

function weighed(nodes, most) {
  const items = nodes.map((each) => ({ node: each, weight: weightOf(each) })).filter((item) => item.weight > 0);
  items.sort((a, b) => b.weight - a.weight || byName(a.node, b.node));
  const rest = items.splice(most);
  const weight = rest.reduce((all, item) => all + item.weight, 0);
  if (weight > 0) items.push({ node: null, label: plural(rest.length, "smaller one"), weight });
  return items;
}

function hue(text) {
  let hash = 7;
  for (const c of String(text)) hash = (hash * 31 + c.codePointAt(0)) % 65521;
  return (hash * 137.508) % 360;
}

function area(item, { x, y, w, h }) {
  const label = shown(item.node?.label ?? item.label);
  const amount = measure.value === "size" ? size(item.weight) : plural(item.weight, "path");
  const made = element("div", { title: `${label}: ${amount}` }, w > 34 && h > 15 ? label : "");
  Object.assign(made.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
  made.style.background = item.node ? `hsl(${hue(item.node.kind === "file" ? label : item.node.family ?? label)} 42% 38%)` : "hsl(220 6% 42%)";
  if (item.node) areas.push({ node: item.node, made });
  return made;
}

function drawPicture() {
  const { clientWidth: w, clientHeight: h } = picture, layers = weighed(arranged("layers"), 40), drawn = [];
  areas = [];
  squarify(layers, { x: 0, y: 0, w, h }, (layer, box) => {
    const frame = area(layer, box);
    frame.className = "frame";
    frame.style.background = "";
    drawn.push(frame);
    if (!layer.node || box.h < 2 * HEAD) return;
    squarify(weighed(layer.node.children.flatMap((each) => (each.family === "file" ? each.children : each)), Math.ceil(MOST_AREAS / layers.length)),
      { x: box.x + 1, y: box.y + HEAD, w: box.w - 2, h: box.h - HEAD - 1 }, (item, inner) => drawn.push(area(item, inner)));
  });
  picture.replaceChildren(...drawn);
  picture.hidden = drawn.length === 0;
  markFound();
  markChosen(state.chosen);
}

function markFound() {
  const isSearching = state.terms.length > 0;
  for (const { node: each, made } of areas) {
    const isFaint = isSearching && made.className !== "frame" && !found(each);
    made.classList.toggle("faint", isFaint);
  }
}

// The picture is of the layers, whatever the list is arranged by: what is found there need not be marked.
function found(each) {
  const below = (one) => state.terms.some((term) => one.text.includes(term)) || one.children.some(below);
  return state.terms.every((term) => {
    const holds = (one) => one.text.includes(term) || one.children.some(holds);
    return holds(each) || (each.parent && each.parent.text.includes(term));
  }) && below(each);
}

function markChosen(chosen) {
  for (const { node: each, made } of areas) made.classList.toggle("chosen", Boolean(chosen) && isSame(each, chosen));
}

const isSame = (area, chosen) =>
  area === chosen || area === chosen.parent && area.kind !== "layer" || (area.kind === "package" && area.item === chosen.item);

picture.addEventListener("click", (event) => {
  const hit = areas.find(({ made }) => made === event.target);
  if (!hit) return;
  arrange("layers");
  reveal(hit.node);
});
