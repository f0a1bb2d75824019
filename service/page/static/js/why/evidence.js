// The evidence fields as they were given and as they are after cleaning, with a switch each; the caption can be edited.
import { current, editChanged, stored } from "../answers.js";
import { bdi, h, icon, replace } from "../dom.js";
import { isEdited, noEdits, on, state } from "../store.js";
import { t } from "../words.js";
import { compare } from "./diff.js";

const TEXTS = ["caption", "photo_title", "title", "item_title"];
const MAX_CAPTION = 4096;
const MAX_QUERY = 256;
const MAX_RECENT = 64; // of the API
const MAX_UNUSED = 24;

/** The inputs stay in place while the rest changes: moved, they would lose the focus and a word being composed. */
export function mountEvidence(root) {
  const head = h("div", { class: "card-head" });
  const caption = h("textarea", { class: "field", id: "caption", rows: "2", maxlength: MAX_CAPTION, dir: "auto", spellcheck: "false",
    oninput: () => change({ caption: caption.value }) });
  const query = h("input", { class: "field", id: "recent-query", maxlength: MAX_QUERY, dir: "auto", spellcheck: "false", autocomplete: "off" });
  const captionLabel = h("label", { for: "caption", class: "small muted" });
  const queryLabel = h("label", { for: "recent-query", class: "small muted" });
  const addButton = h("button", { class: "button", type: "submit" });
  const added = h("ul", { class: "chips" });
  const extras = {
    text: [h("div", { class: "edit" }, captionLabel, caption)],
    personal: [h("form", { class: "edit", onsubmit: addQuery }, queryLabel, h("div", { class: "row" }, query, addButton)), added],
  };
  const fields = state.deployment.segments.map((name) => makeField(name, extras[name] ?? [], change));
  root.append(head, h("div", { class: "fields" }, fields.map((field) => field.node)));

  function addQuery(event) {
    event.preventDefault();
    const text = query.value.trim();
    if (!text) return;
    query.value = "";
    change({ recent: [text, ...state.edits.recent].slice(0, MAX_RECENT) });
  }

  function change(part) {
    editChanged({ ...state.edits, ...part });
    render();
  }

  function render() {
    const explain = current()?.status === "ready" ? current().answer.explain : null;
    if (state.edits.caption === null) caption.value = captionOf(stored());
    caption.placeholder = t("no_caption");
    captionLabel.textContent = t("edit_caption");
    queryLabel.textContent = t("add_query");
    addButton.textContent = t("add");
    replace(head, h("h2", {}, t("evidence")), isEdited() && h("button", { class: "button", type: "button", "data-focus": "reset", onclick: () => change(noEdits()) }, t("reset")));
    for (const field of fields) field.render(explain);
    replace(added, state.edits.recent.map((text, at) => h("li", { class: "chip" }, bdi(text), h("button", { class: "remove", type: "button", "aria-label": t("remove", { query: text }),
      onclick: () => change({ recent: state.edits.recent.filter((_, other) => other !== at) }) }, icon("close")))));
  }

  on("answer language", render);
  render();
}

function makeField(name, extras, change) {
  const title = h("h3", {});
  const note = h("span", { class: "small muted" });
  const toggle = h("input", { type: "checkbox", role: "switch", class: "switch", onchange: () => {
    const off = new Set(state.edits.off);
    if (!off.delete(name)) off.add(name);
    change({ off });
  } });
  const body = h("div", {});
  const node = h("div", { class: "evidence-field", "data-field": name },
    h("div", { class: "field-head" }, h("span", { class: `dot part-${name}`, "aria-hidden": "true" }), title, note, toggle), body, ...extras);

  function render(explain) {
    const isOff = state.edits.off.has(name);
    node.classList.toggle("is-off", isOff);
    toggle.checked = !isOff;
    toggle.setAttribute("aria-label", t("use_field", { field: t(`field_${name}`) }));
    title.textContent = t(`field_${name}`);
    note.textContent = t(`note_${name}`);
    if (isOff) replace(body, h("p", { class: "small muted" }, t("off")));
    else if (explain?.fields) replace(body, content(name, explain));
  }
  return { node, render };
}

const captionOf = (entry) => entry?.answer?.explain?.fields?.caption ?? "";

function content(name, explain) {
  const given = explain.fields;
  if (name === "text") return texts(given, explain.evidence.text);
  if (name === "summary") return pair(given.summary, explain.evidence.summary);
  if (name === "personal") return personal(given.queries, explain.evidence.personal);
  return list(given[name], explain.evidence[name]);
}

/** The text is one of four fields: that of which most words are still there is compared, the others are listed. */
function texts(given, cleaned) {
  const present = TEXTS.filter((name) => given[name]);
  const kept = Object.fromEntries(present.map((name) => [name, compare(given[name], cleaned).kept]));
  const used = present.reduce((best, name) => (best === null || kept[name] > kept[best] ? name : best), null);
  return pair(used ? given[used] : "", cleaned);
}

const marked = (parts, tag) => parts.flatMap(([word, isKept]) => [isKept ? word : h(tag, {}, word), " "]);

function pair(before, after) {
  if (!before && !after) return h("p", { class: "small muted" }, t("nothing"));
  const found = compare(before, after);
  return h("dl", { class: "pair" },
    h("dt", {}, t("stored")), h("dd", {}, h("bdi", { dir: "auto" }, marked(found.before, "del"))),
    h("dt", {}, t("cleaned")), h("dd", {}, after ? h("bdi", { dir: "auto" }, marked(found.after, "ins")) : h("span", { class: "muted" }, t("nothing"))));
}

function list(given, cleaned) {
  if (!given.length) return h("p", { class: "small muted" }, t("nothing"));
  const left = new Set(cleaned.map((text) => text.toLowerCase()));
  return h("ul", { class: "chips" }, given.map((text) => h("li", { class: "chip" }, left.has(text.trim().toLowerCase()) ? bdi(text) : h("del", {}, bdi(text)))));
}

function personal(queries, chosen) {
  const used = new Set(chosen.map((text) => text.toLowerCase()));
  const others = queries.filter((text) => !used.has(text.trim().toLowerCase()));
  return [
    chosen.length ? h("ul", { class: "chips" }, chosen.map((text) => h("li", { class: "chip" }, bdi(text)))) : h("p", { class: "small muted" }, t("nothing")),
    others.length > 0 && h("details", { class: "small muted" }, h("summary", {}, t("unused_queries", { count: others.length })),
      h("ul", { class: "chips" }, others.slice(0, MAX_UNUSED).map((text) => h("li", { class: "chip unused" }, bdi(text))))),
  ];
}
