// What people do with the page: arrange, search, fold, print.

const by = document.getElementById("by"), query = document.getElementById("query"), only = document.getElementById("only");
const status = document.getElementById("status");

function termsOf() {
  const said = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  return [...said, only.value].filter(Boolean).slice(0, 30);
}

function find() {
  const terms = termsOf(), found = search(terms);
  status.textContent = terms.length ? `${plural(found, "match", "matches")}` : "";
  markFound();
}

function arrange(name) {
  by.value = name;
  query.value = "";
  only.value = "";
  rearrange();
}

function rearrange() {
  state.roots = arranged(by.value);
  state.chosen = null;
  find();
  if (!state.terms.length) {
    for (const root of state.roots) if (root.isOpenAtFirst) state.open.add(root);
    layOut();
  }
  offerTraits();
}

// Only what there is can be asked for.
function offerTraits() {
  const chosen = only.value;
  const options = Object.entries(traits).filter(([trait]) => present.has(trait));
  only.replaceChildren(element("option", { value: "" }, "everything"), ...options.map(([trait, label]) => element("option", { value: trait }, label)));
  only.value = chosen;
}

let waiting;
query.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(find, 80);
});
query.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { query.value = ""; find(); }
  if (event.key === "ArrowDown") { event.preventDefault(); view.focus(); step(1); }
});
only.addEventListener("change", find);
by.addEventListener("change", rearrange);
measure.addEventListener("change", drawPicture);
document.getElementById("unfold").addEventListener("click", () => foldAll(true));
document.getElementById("fold").addEventListener("click", () => foldAll(false));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) {
    event.preventDefault();
    query.focus();
  }
});

// On paper, and without scripts, there are tables instead.
const tables = document.getElementById("tables"), paper = document.getElementById("paper");
addEventListener("beforeprint", () => { paper.innerHTML = tables.textContent; });
addEventListener("afterprint", () => { paper.replaceChildren(); });

document.getElementById("explorer").hidden = false;
for (const option of [...by.options]) if (option.value === "components" && !list(account.components).length && !list(account.incomplete).length) option.remove();
if (!changeset.packages.some((item) => item.location?.size)) measure.value = "count";
rearrange();
drawPicture();
new ResizeObserver(drawPicture).observe(picture);
