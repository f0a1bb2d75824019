// Horizontal bars as SVG, with intervals; the paper's are marked by colour and pattern of their outline.
import { bdi, h, svg } from "../dom.js";
import { t } from "../words.js";

const WIDTH = 660;
const ROW = 26;
const LABELS = 258;
const VALUES = 74;
const MAX_LABEL = 36;

const shorten = (text) => (text.length > MAX_LABEL ? `${text.slice(0, MAX_LABEL)}…` : text);
const digits = (value) => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3));

export function plotOf(plot) {
  const most = Math.max(...plot.bars.map((bar) => Math.max(bar.value, bar.high ?? 0))) || 1;
  const span = WIDTH - LABELS - VALUES;
  const x = (value) => LABELS + (span * value) / most;
  const said = plot.bars.map((bar) => `${bar.label}: ${digits(bar.value)}${plot.unit && ` ${plot.unit}`}`).join("; ");
  const rows = plot.bars.map((bar, at) => {
    const y = at * ROW + 4;
    const middle = y + 9;
    return svg("g", { class: bar.paper ? "report-bar paper" : "report-bar" }, svg("title", {}, bar.label),
      svg("text", { x: LABELS - 10, y: middle + 4, "text-anchor": "end" }, shorten(bar.label)),
      svg("rect", { x: LABELS, y, width: Math.max(1, x(bar.value) - LABELS), height: 18, rx: 3 }),
      bar.low !== null && bar.high !== null && svg("path", { class: "interval", d: `M${x(bar.low)} ${middle}H${x(bar.high)}M${x(bar.low)} ${y + 4}v10M${x(bar.high)} ${y + 4}v10` }),
      svg("text", { class: "value", x: x(Math.max(bar.value, bar.high ?? 0)) + 8, y: middle + 4 }, digits(bar.value)));
  });
  const height = plot.bars.length * ROW + 6;
  return h("figure", { class: "report-plot" },
    h("figcaption", { class: "small" }, h("b", {}, bdi(plot.unit ? `${plot.title}, ${plot.unit}` : plot.title)), plot.bars.some((bar) => bar.paper) && h("span", { class: "muted" }, ` · ${t("report_paper")}`)),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": plot.title },
      svg("svg", { class: "bars", viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height, role: "img", "aria-label": said }, rows)));
}
