// The request's stages as a waterfall against the objective, and the percentiles of this page's requests.
import { h, replace } from "../dom.js";
import { state } from "../store.js";
import { t } from "../words.js";

const PERCENTILES = [50, 95, 99];
const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));

/** Returns the nearest-rank percentile of sorted numbers. */
export function percentile(sorted, rank) {
  return sorted[Math.max(0, Math.ceil((rank / 100) * sorted.length) - 1)];
}

export function renderTime(root, entry) {
  const budget = state.deployment.objective_ms;
  const timings = entry?.status === "ready" ? entry.answer.timings_ms : null;
  const heading = h("div", { class: "card-head" }, h("h2", {}, t("time")));
  if (timings) {
    heading.append(
      h("p", { class: "total" }, h("b", { class: timings.total > budget ? "number over" : "number" }, ms(timings.total)), ` ${t("of_budget", { budget })}`),
      h("p", { class: "small muted" }, note(entry)),
    );
  }
  replace(root, heading, timings && waterfall(timings, budget), percentiles());
}

function note(entry) {
  const parts = [t("round_trip", { ms: ms(entry.roundTripMs) })];
  if (entry.size > 1) parts.unshift(t("in_batch", { size: entry.size }));
  if (entry.answer.explain?.cache === "hit" || entry.answer.explain?.cache === "joined") parts.unshift(t("from_cache"));
  return parts.join(" · ");
}

function waterfall(timings, budget) {
  const stages = state.deployment.stages.map((name) => ({ name, label: t(`stage_${name}`), duration: timings[name] ?? 0 }));
  const rest = timings.total - stages.reduce((sum, stage) => sum + stage.duration, 0);
  if (rest > 0.05) stages.push({ name: "other", label: t("other"), duration: rest });
  const span = Math.max(budget * 1.12, timings.total);
  let start = 0;
  const rows = stages.map(({ name, label, duration }) => {
    const block = h("span", { class: `block stage-${name}` });
    block.style.setProperty("left", `${(100 * start) / span}%`);
    block.style.setProperty("width", `${(100 * duration) / span}%`);
    start += duration;
    return h("li", { class: duration ? "" : "unused" }, h("span", { class: "stage-name" }, label), h("span", { class: "lane" }, block), h("span", { class: "number" }, ms(duration)));
  });
  const line = h("span", { class: "limit", "aria-hidden": "true" });
  line.style.setProperty("left", `${(100 * budget) / span}%`);
  return h("div", { class: "waterfall" }, h("ol", {}, rows), h("span", { class: "limit-lane", "aria-hidden": "true" }, line));
}

function percentiles() {
  const alone = state.log.filter((entry) => entry.how === "single" || entry.how === "edit").map((entry) => entry.totalMs).sort((a, b) => a - b);
  if (!alone.length) return null;
  return h("div", { class: "percentiles" },
    h("p", { class: "small muted" }, t("page_requests", { count: alone.length })),
    h("dl", {}, PERCENTILES.map((rank) => h("div", {}, h("dt", {}, `p${rank}`), h("dd", { class: "number" }, ms(percentile(alone, rank)))))));
}
