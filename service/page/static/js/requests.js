// The requests of this page: a plot of their times against the objective, and a table.
import { bdi, h, replace, svg } from "./dom.js";
import { on, state } from "./store.js";
import { t } from "./words.js";

const SHOWN = 60;
const WIDTH = 600;
const HEIGHT = 120;

export function mountRequests(root) {
  const render = () => {
    if (root.hidden) return;
    const entries = state.log.slice(0, SHOWN);
    replace(root, h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, t("page_requests", { count: state.log.length }))), plot([...entries].reverse()), table(entries)));
  };
  on("log language", render);
  new MutationObserver(render).observe(root, { attributes: true, attributeFilter: ["hidden"] });
}

function plot(entries) {
  if (!entries.length) return null;
  const budget = state.deployment.objective_ms;
  const top = Math.max(budget * 1.2, ...entries.map((entry) => entry.totalMs));
  const y = (value) => HEIGHT - (HEIGHT * value) / top;
  const step = WIDTH / SHOWN;
  const bars = entries.map((entry, at) => svg("rect", { class: `plot-${entry.how}`, x: at * step + 1, width: step - 2, y: y(entry.totalMs), height: HEIGHT - y(entry.totalMs), rx: 1.5 }));
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("plot") }, bars,
    svg("line", { class: "plot-limit", x1: 0, x2: WIDTH, y1: y(budget), y2: y(budget) }), svg("text", { class: "plot-label", x: WIDTH, y: y(budget) - 4, "text-anchor": "end" }, `${budget} ms`));
}

function table(entries) {
  const head = ["video", "kind", "outcome", "service_ms", "browser_ms"].map((name) => h("th", { scope: "col" }, t(name)));
  const rows = entries.map((entry) => h("tr", {},
    h("td", {}, bdi(entry.photo_id)),
    h("td", {}, t(`how_${entry.how}`, { size: entry.size })),
    h("td", {}, entry.reason ? t(`reason_${entry.reason}`) : t("queries_shown")),
    h("td", { class: "number" }, entry.totalMs.toFixed(1)),
    h("td", { class: "number" }, entry.roundTripMs.toFixed(1))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("tab_requests") }, h("table", { class: "table" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}
