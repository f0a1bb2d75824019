// Evaluations, load tests and benchmarks: the tables and plots of each report, beside the figures of the paper.
import { reports } from "../api.js";
import { bdi, h, replace } from "../dom.js";
import { on } from "../store.js";
import { t } from "../words.js";
import { plotOf } from "./plot.js";

export function mount(root) {
  let found = null;

  async function load() {
    replace(root, h("p", { class: "card notice" }, t("waiting")));
    try {
      found = await reports();
      show();
    } catch (error) {
      replace(root, h("div", { class: "card notice" }, h("p", {}, t(`error_${error.kind}`)), h("button", { class: "button", type: "button", onclick: load }, t("retry"))));
    }
  }

  function show() {
    const skipped = found.skipped.length > 0 && h("section", { class: "card notice" }, h("h2", {}, t("reports_skipped")),
      h("ul", {}, found.skipped.map((file) => h("li", { class: "small" }, bdi(file.name), ": ", bdi(file.because)))));
    const none = found.reports.length === 0 && h("p", { class: "card notice" }, t("reports_none"));
    replace(root, h("div", { class: "reports" }, none, found.reports.map(section), skipped));
  }

  on("language", () => found && show());
  load();
}

function section(report, at) {
  const body = h("div", { class: "report-body" });
  const fill = () => {
    if (!body.firstChild) body.append(...report.plots.map(plotOf), ...report.tables.map(tableOf));
  };
  const fact = (name, value, tag) => value && [h("dt", {}, t(name)), h("dd", {}, h(tag, {}, bdi(value)))];
  const isFirst = at === 0;
  if (isFirst) fill();
  return h("section", { class: "card" }, h("details", { class: "report", open: isFirst, ontoggle: fill },
    h("summary", {}, h("h2", {}, bdi(report.title))),
    h("dl", { class: "report-facts small" }, fact("report_command", report.command, "code") || [], fact("report_made", report.made, "span") || []),
    report.note && h("p", { class: "small muted" }, bdi(report.note)), body));
}

function tableOf(table) {
  const head = table.columns.map((name, at) => h("th", { scope: "col", class: at ? "number" : "" }, name ? bdi(name) : h("span", { class: "hidden" }, t("report_part"))));
  const rows = table.rows.map((row) => h("tr", {}, row.map((value, at) => (at === 0
    ? h("th", { scope: "row" }, bdi(value ?? ""))
    : h("td", { class: "number" }, value === null ? "" : typeof value === "number" ? number(value) : bdi(value))))));
  return h("figure", { class: "report-table" }, h("figcaption", { class: "small" }, h("b", {}, bdi(table.title))),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": table.title }, h("table", { class: "table" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))));
}

const number = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : String(Math.abs(value) >= 100 ? Math.round(value * 10) / 10 : Math.round(value * 10000) / 10000));
