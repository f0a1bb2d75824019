// The hypotheses with score, verdict and rule, and P([REJECT]) against its threshold.
import { bdi, h, icon, replace } from "../dom.js";
import { t } from "../words.js";

export function renderHypotheses(root, entry) {
  const explain = entry?.status === "ready" ? entry.answer.explain : null;
  const found = explain?.hypotheses ?? [];
  replace(root, h("div", { class: "card-head" }, h("h2", {}, t("hypotheses"))),
    explain?.rejection && meter(explain.rejection),
    found.length ? table(found) : h("p", { class: "muted small" }, explain ? emptyNote(entry.answer) : t("no_hypotheses")));
}

const emptyNote = (answer) => (answer.explain.blocked_by ? t(`rule_${answer.explain.blocked_by}`) : t(answer.reason ? `reason_${answer.reason}` : "no_hypotheses"));

function meter({ probability, threshold }) {
  const isOver = probability >= threshold;
  const fill = h("span", { class: isOver ? "meter-fill over" : "meter-fill" });
  fill.style.setProperty("width", `${Math.min(100, 100 * probability)}%`);
  const mark = h("span", { class: "meter-mark" });
  mark.style.setProperty("left", `${100 * threshold}%`);
  return h("div", { class: "reject" },
    h("p", { class: "small" }, h("b", {}, t("reject")), " ", h("span", { class: "number" }, probability.toFixed(4)), h("span", { class: "muted" }, ` · ${t("threshold", { value: threshold })} · ${t(isOver ? "above" : "below")}`)),
    h("div", { class: "meter", "aria-hidden": "true" }, fill, mark));
}

function table(found) {
  const best = Math.max(...found.map((item) => item.score));
  const rows = found.map((item, at) => {
    const strength = h("span", { class: "strength", "aria-hidden": "true" });
    strength.style.setProperty("width", `${Math.max(2, 100 * Math.exp(item.score - best))}%`);
    return h("tr", { class: item.verdict },
      h("td", { class: "number muted" }, String(at + 1)),
      h("td", {}, h("span", { class: "hypothesis" }, item.query ? bdi(item.query) : t(item.rule ? `rule_${item.rule}` : "nothing")), strength),
      h("td", { class: "number" }, item.score.toFixed(2)),
      h("td", {}, verdict(item)));
  });
  const head = ["rank", "query", "score", "verdict"].map((name) => h("th", { scope: "col", class: name === "rank" ? "hidden-head" : "" }, name === "rank" ? h("span", { class: "hidden" }, t(name)) : t(name)));
  return h("table", { class: "table" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
}

function verdict(item) {
  const isShown = item.verdict === "shown";
  const label = item.rule ? t(`rule_${item.rule}`) : t(item.verdict);
  return h("span", { class: isShown ? "pill good" : "pill", title: item.forced ? t("forced") : undefined }, isShown && icon("check"), label, item.forced && "*");
}
