// Starts the page: asks what this deployment offers, loads its feed, and connects the parts.
import { prefetch, dropEdits, current } from "./answers.js";
import { deployment, feed, setKey } from "./api.js";
import { mountBar } from "./bar.js";
import { h, icon, replace } from "./dom.js";
import { mountFeed } from "./feed.js";
import { mountPanel } from "./panel.js";
import { emit, on, remember, remembered, state } from "./store.js";
import { mountViewers } from "./viewers.js";
import { getLanguage, setLanguage, t } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };
let theme = remembered("theme", "auto");

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
    h("button", { class: "tool", type: "button", "data-focus": "language", "aria-label": t("language_label"), onclick: nextLanguage }, t("language")),
    h("button", { class: "tool", type: "button", "data-focus": "theme", "aria-label": label, title: label, onclick: nextTheme }, icon(THEME_ICONS[theme])),
  );
}

/** Asks for what is missing to start, in the phone: a key, or a video where there is no feed. Returns what was entered. */
function askFor(title, note, fields) {
  const phone = document.getElementById("phone");
  return new Promise((resolve) => {
    const inputs = fields.map(([name, type]) => h("input", { class: "field", name, type, autocomplete: "off", spellcheck: "false" }));
    const labels = fields.map(([name], at) => h("label", {}, t(name), inputs[at]));
    const submit = (event) => {
      event.preventDefault();
      if (inputs[0].value.trim()) resolve(inputs.map((input) => input.value.trim()));
    };
    replace(
      phone,
      h("form", { class: "ask", onsubmit: submit }, h("h2", {}, t(title)), h("p", { class: "muted small" }, t(note)), ...labels,
        h("button", { class: "button primary", type: "submit" }, t("open"))),
    );
    inputs[0].focus();
  });
}

async function loadDeployment() {
  for (;;) {
    try {
      return await deployment();
    } catch (error) {
      if (error.kind !== "unauthorized") throw error;
      const [key] = await askFor("key_title", "key_note", [["key", "password"]]);
      setKey(key);
    }
  }
}

async function loadVideos() {
  if (state.deployment.feed) {
    const content = await feed();
    state.shop = content;
    state.videos = content.videos;
    state.viewers = content.viewers;
    return;
  }
  const [photo_id, user_id] = await askFor("ask_title", "ask_note", [["photo_id", "text"], ["user_id", "text"]]);
  state.videos = [{ photo_id, caption: "", author: "", aspect: "showcase", leading: "" }];
  state.viewers = user_id ? [{ user_id, tier: null, interests: [], queries: [] }] : [];
}

async function start() {
  applyTheme();
  setLanguage(remembered("language", navigator.language.startsWith("zh") ? "zh" : "en"));
  renderTools();
  try {
    state.deployment = await loadDeployment();
    renderTools();
    await loadVideos();
  } catch (error) {
    replace(document.getElementById("phone"), h("div", { class: "empty" }, h("h2", {}, t("failed_title")), h("p", {}, t(`error_${error.kind ?? "refused"}`)),
      h("button", { class: "button", type: "button", onclick: () => location.reload() }, t("retry"))));
    return;
  }
  state.viewer = state.viewers[0] ?? null;
  const moved = () => {
    dropEdits();
    emit("answer");
    prefetch();
  };
  on("video viewer", moved);
  const phone = document.getElementById("phone");
  replace(phone);
  mountFeed(phone);
  mountViewers(phone);
  mountBar(phone);
  mountPanel(document.getElementById("panel"));
  markFirstBar();
  prefetch();
}

/** Leaves a mark in the browser's timeline when the first bar is painted; docs/page.md says how to read it. */
function markFirstBar() {
  let marked = false;
  on("answer", () => {
    if (marked || current()?.status !== "ready") return;
    marked = true;
    requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("onebar:first-bar")));
  });
}

start();
