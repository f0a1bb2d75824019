// The source: the one text that the model reads, each field in its colour, with its tokens.
import { bdi, h, replace } from "../dom.js";
import { t } from "../words.js";

const FRAME_TOKENS = 2; // <s> and </s>

export function renderSource(root, entry) {
  const segments = entry?.status === "ready" ? entry.answer.explain?.segments ?? [] : [];
  const total = segments.reduce((sum, segment) => sum + segment.tokens, 0) + Math.max(0, segments.length - 1) + FRAME_TOKENS;
  const parts = segments.flatMap((segment, at) => [
    at > 0 && h("span", { class: "separator" }, "[SEP]"),
    segment.text && bdi(segment.text, { class: `segment part-${segment.field}`, title: t(`field_${segment.field}`) }),
    " ",
  ]);
  const counts = segments.map((segment) =>
    h("li", {}, h("span", { class: `dot part-${segment.field}`, "aria-hidden": "true" }), t(`field_${segment.field}`), " ",
      h("span", { class: "number muted" }, t("tokens", { count: segment.tokens, budget: segment.budget })), segment.truncated && h("span", { class: "cut" }, ` ${t("cut")}`)));
  replace(root,
    h("div", { class: "card-head" }, h("h2", {}, t("source")), segments.length > 0 && h("p", { class: "small muted" }, t("source_note", { count: total }))),
    segments.length ? [h("p", { class: "source-text" }, parts), h("ul", { class: "counts" }, counts)] : h("p", { class: "muted small" }, t("nothing")));
}
