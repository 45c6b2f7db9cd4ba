// What is known of the row that is chosen: all that the account says of it.

const details = document.getElementById("details");
const MOST_LISTED = 200;
const called = { uri: "address", vcs: "repository", signed_by: "signed by", purl: "package URL", uid: "user number", gid: "group number" };
const isDigest = (text) => /^sha256:[0-9a-f]{64}$/.test(text);

function jump(label, act) {
  const button = element("button", { class: "jump", type: "button" }, shown(label));
  button.addEventListener("click", act);
  return button;
}

// Goes to the first node of an arrangement that fits.
function goTo(name, fits) {
  arrange(name);
  const find = (nodes) => {
    for (const each of nodes) {
      const found = fits(each) ? each : find(each.children);
      if (found) return found;
    }
    return undefined;
  };
  const found = find(state.roots);
  if (found) reveal(found);
  view.focus();
}

function valueOf(field, value) {
  if (Array.isArray(value)) return listOf(value, (each) => valueOf(field, each));
  if (value !== null && typeof value === "object") return fieldsOf(Object.entries(value));
  if (field === "signed_by") {
    return jump(keyName(value), () => goTo("keys", (each) => each.item?.fingerprint === value));
  }
  const text = shown(value);
  if (field === "size" && Number.isFinite(value)) return `${size(value)} (${plural(value, "byte")})`;
  if (/^https?:\/\//.test(text)) return element("a", { href: text, rel: "noreferrer noopener" }, text);
  return isDigest(text) || field === "path" ? element("span", { class: "code" }, text) : text;
}

function keyName(fingerprint) {
  const key = account.keys.find((each) => each.fingerprint === fingerprint);
  return `${list(key?.identities)[0] ?? ""} ${fingerprint}`.trim();
}

function listOf(values, show) {
  const rows = values.slice(0, MOST_LISTED).map((value) => element("li", {}, show(value)));
  if (values.length > MOST_LISTED) rows.push(element("li", {}, `… and ${plural(values.length - MOST_LISTED, "more", "more")}`));
  return element("ul", {}, ...rows);
}

function fieldsOf(entries) {
  const rows = entries.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return element("dl", {}, ...rows.flatMap(([field, value]) => [
    element("dt", {}, called[field] ?? field.replaceAll("_", " ")),
    element("dd", {}, valueOf(field, value)),
  ]));
}

function extras(each) {
  const entries = [];
  if (each.kind === "package") {
    entries.push(["status", each.standing]);
    if (each.children.length) entries.push(["paths", each.children.length.toLocaleString("en")]);
  }
  if (each.kind === "path" && each.group) {
    const { group } = each;
    entries.push(["belongs_to", origins[group.origin] ?? group.origin]);
    if (each.isRemoved) entries.push(["status", "removed by this layer"]);
    if (group.script) entries.push([group.origin === "generated" ? "made_by" : "script", `${group.script} of ${group.package}`]);
    if (group.origin === "instruction") entries.push(["instruction", instructionOf(group)]);
    entries.push(["layer", each.layer.diff_id]);
  }
  return entries;
}

function showDetails(each) {
  const parts = [element("h3", {}, shown(each.label))];
  const item = { ...(each.item ?? {}) };
  if (each.kind === "file") delete item.source;
  parts.push(fieldsOf([...extras(each), ...Object.entries(item)]));
  if (each.origin?.length) parts.push(element("h3", {}, "Where it came from"), element("ol", {}, ...each.origin.map((step) => element("li", {}, shown(step)))));
  else if (each.kind === "file") parts.push(element("p", {}, "Where it came from isn't told."));
  const key = each.group?.package;
  const own = key && installed.get(key);
  if (own) parts.push(element("p", {}, "Package ", jump(`${own.item.name} ${own.item.version}`, () => goTo("packages", (other) => other.item === own.item))));
  if (each.kind === "package") parts.push(...licenceTexts(each.item.licence?.expression ?? ""));
  if (each.kind === "licence") parts.push(...licenceTexts(each.label));
  if (each.kind === "file" || each.kind === "path") parts.push(...componentsIn(each.label));
  details.replaceChildren(...parts);
  details.scrollTop = 0;
}

function licenceTexts(expression) {
  const texts = account.licence_texts ?? {};
  const names = expression.match(/(?:DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+/g) ?? [];
  return [...new Set(names)].filter((name) => Object.hasOwn(texts, name)).flatMap((name) =>
    [element("h3", {}, shown(name)), element("pre", {}, texts[name].split("\n").map(shown).join("\n"))]);
}

function componentsIn(path) {
  const inside = list(account.components).filter((component) => component.path === path);
  if (!inside.length) return [];
  return [element("h3", {}, "Found inside"), listOf(inside, (each) => `${shown(each.name)} ${shown(each.version ?? "")}`)];
}
