// The panel beside the phone; a drawer on a narrow screen. A page of it is an entry of PAGES: an id, what mounts it, and
// whether this deployment has it. `/#ID` opens it.
import { h, icon, loadStyles, replace, trap } from "./dom.js";
import { mountRequests } from "./requests.js";
import { emit, on, state } from "./store.js";
import { mountWhy } from "./why/why.js";
import { t } from "./words.js";

const PAGES = [
  { id: "why", mount: mountWhy },
  { id: "requests", mount: mountRequests },
  { id: "review", isHere: () => state.deployment.review, mount: (root) => mountLater(root, () => import("./review/review.js"), "review") },
  { id: "reports", isHere: () => state.deployment.reports, mount: (root) => mountLater(root, () => import("./reports/reports.js"), "reports") },
];
const narrow = matchMedia("(max-width: 999px)");
let release = null;

const panel = () => document.getElementById("panel");

export function openDrawer() {
  if (!narrow.matches || release) return;
  panel().classList.add("open");
  panel().setAttribute("role", "dialog");
  panel().setAttribute("aria-modal", "true");
  panel().inert = false;
  release = trap(panel(), closeDrawer);
  panel().querySelector("[role=tab][aria-selected=true]").focus({ preventScroll: true });
  emit("panel");
}

export function closeDrawer() {
  if (!release) return;
  panel().classList.remove("open");
  panel().removeAttribute("role");
  panel().removeAttribute("aria-modal");
  panel().inert = narrow.matches;
  const end = release;
  release = null;
  end();
}

/** Mounts a page whose module and styles are loaded when it is first selected. */
async function mountLater(root, load, style) {
  try {
    const [module] = await Promise.all([load(), loadStyles(style)]);
    module.mount(root);
  } catch {
    const again = () => {
      root.focus({ preventScroll: true }); // the button goes
      mountLater(root, load, style);
    };
    replace(root, h("div", { class: "card notice" }, h("p", {}, t("error_down")),
      h("button", { class: "button", type: "button", onclick: again }, t("retry"))));
  }
}

export function mountPanel(root) {
  const pages = PAGES.filter(({ isHere }) => !isHere || isHere());
  const mounted = new Set();
  const bodies = pages.map(({ id }) => h("div", { class: "page", id: `page-${id}`, role: "tabpanel", tabindex: "0", "aria-labelledby": `tab-${id}` }));
  const tabs = h("div", { class: "tabs", role: "tablist" });
  const close = h("div", { class: "drawer-close" });
  replace(root, h("header", { class: "panel-head" }, tabs, close), ...bodies);
  let selected = 0;

  function select(at, focus) {
    selected = (at + pages.length) % pages.length;
    render();
    if (focus) tabs.children[selected].focus();
    history.replaceState(null, "", selected ? `#${pages[selected].id}` : location.pathname + location.search);
    emit("panel");
  }

  function selectNamed() {
    const at = pages.findIndex(({ id }) => location.hash === `#${id}`);
    if (at < 0) return;
    select(at);
    openDrawer();
  }

  function render() {
    if (!mounted.has(selected)) {
      mounted.add(selected);
      pages[selected].mount(bodies[selected]);
    }
    replace(tabs, pages.map(({ id }, at) => {
      const isSelected = at === selected;
      return h("button", { class: "tab", type: "button", role: "tab", id: `tab-${id}`, "data-focus": id, "aria-controls": `page-${id}`, "aria-selected": String(isSelected),
        tabindex: isSelected ? "0" : "-1", onclick: () => select(at), onkeydown: (event) => {
          const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (by) select(at + by, true);
        } }, t(`tab_${id}`));
    }));
    tabs.setAttribute("aria-label", t("panel"));
    bodies.forEach((body, at) => { body.hidden = at !== selected; });
    replace(close, h("button", { class: "close", type: "button", "aria-label": t("close"), onclick: closeDrawer }, icon("close")));
  }

  const fit = () => {
    closeDrawer();
    root.inert = narrow.matches;
  };
  narrow.addEventListener("change", fit);
  addEventListener("hashchange", selectNamed);
  on("language", render);
  render();
  fit();
  selectNamed();
}
