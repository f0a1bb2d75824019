// What the page shows at once: the tools, the feed and the bar. The panel beside it comes after the first bar.
import { current } from "./answers.js";
import { mountBar } from "./bar.js";
import { h, icon, loadStyles, replace } from "./dom.js";
import { mountFeed } from "./feed.js";
import { emit, on, remember, remembered, state } from "./store.js";
import { getLanguage, setLanguage, t } from "./words.js";
import { mountViewers } from "./viewers.js";

const THEMES = ["auto", "light", "dark"];
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };
const PAINT_MS = 200; // a page in the background is not painted
const phone = document.getElementById("phone");
let isNamed = false; // the name of the other language needs fonts that nothing else needs; they would delay the first bar
let theme = remembered("theme", "auto");
let panel = null;

function applyTheme() {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function renderTools() {
  const nextTheme = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember("theme", theme);
    applyTheme();
    renderTools();
  };
  const nextLanguage = () => {
    setLanguage(getLanguage() === "en" ? "zh" : "en");
    remember("language", getLanguage());
    renderTools();
    emit("language");
  };
  const label = t(`theme_${theme}`);
  replace(
    document.getElementById("tools"),
    state.deployment?.docs && h("a", { class: "tool", href: "docs", "data-focus": "docs" }, t("docs")),
    h("button", { class: "tool", type: "button", "data-focus": "language", "aria-label": t("language_label"), onclick: nextLanguage }, isNamed && t("language")),
    h("button", { class: "tool", type: "button", "data-focus": "theme", "aria-label": label, title: label, onclick: nextTheme }, icon(THEME_ICONS[theme])),
  );
}

function nameLanguage() {
  isNamed = true;
  renderTools();
}

/** Asks for what is missing to start, in the phone. Returns what was entered, by the names of the fields. `fault` says what was wrong before. */
function askFor(title, note, fields, fault) {
  nameLanguage();
  return new Promise((resolve) => {
    const inputs = fields.map(([name, type]) => h("input", { class: "field", name, type, autocomplete: "off", spellcheck: "false" }));
    const labels = fields.map(([name], at) => h("label", {}, t(name), inputs[at]));
    const submit = (event) => {
      event.preventDefault();
      if (inputs[0].value.trim()) resolve(Object.fromEntries(inputs.map((input) => [input.name, input.value.trim()])));
    };
    replace(
      phone,
      h("form", { class: "ask", onsubmit: submit }, h("h2", {}, t(title)), h("p", { class: "muted small" }, t(note)),
        fault && h("p", { class: "fault", role: "alert" }, fault), ...labels,
        h("button", { class: "button primary", type: "submit" }, t("open"))),
    );
    inputs[0].focus();
  });
}

export const askForKey = async (isWrong) => (await askFor("key_title", "key_note", [["key", "password"]], isWrong && t("error_unauthorized"))).key;
export const askForVideo = () => askFor("ask_title", "ask_note", [["photo_id", "text"], ["user_id", "text"]]);

export function showFailure(error) {
  nameLanguage();
  replace(phone, h("div", { class: "empty" }, h("h2", {}, t("failed_title")), h("p", {}, t(`error_${error.kind ?? "refused"}`)),
    h("button", { class: "button", type: "button", onclick: () => location.reload() }, t("retry"))));
}

/** Mounts the feed and the bar. */
export function mount() {
  renderTools();
  replace(phone);
  mountFeed(phone);
  mountViewers(phone);
  mountBar(phone, async () => (await mountRest()).openDrawer());
  markFirstBar();
}

/** Loads and mounts the panel, once, and loads the results of a click and the motion of the scenes. */
export function mountRest() {
  panel ??= Promise.all([import("./panel.js"), import("./results.js"), loadStyles("panel", "sections", "motion")]).then(([module]) => {
    module.mountPanel(document.getElementById("panel"));
    return module;
  });
  panel.catch(() => { panel = null; }); // the service did not answer; the next click tries again
  return panel;
}

/** Resolves when what was drawn is on the screen. */
export const painted = () => new Promise((resolve) => {
  requestAnimationFrame(() => requestAnimationFrame(resolve));
  setTimeout(resolve, PAINT_MS);
});

/** Leaves a mark in the browser's timeline when the first bar is painted; docs/page.md says how to read it. */
function markFirstBar() {
  let marked = false;
  const look = () => {
    if (marked || current()?.status !== "ready") return;
    marked = true;
    requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("onebar:first-bar")));
  };
  on("answer", look);
  look();
}

on("started", nameLanguage);
applyTheme();
setLanguage(remembered("language", navigator.language.startsWith("zh") ? "zh" : "en"));
renderTools();
