// Recent answers, newest first, searched by video, query or request.
import { review } from "../api.js";
import { bdi, h, replace } from "../dom.js";
import { getLanguage, t } from "../words.js";
import { timeOf } from "./times.js";

const FIELDS = ["video", "query", "request_id"];
const SHOWN = 50;

/** Returns the card. `propose(kind, query, photo_id)` fills the form of a change; `kinds` are those that are possible, `typed` the values of the search. */
export function answersCard(possible, kinds, propose, typed) {
  const heading = h("div", { class: "card-head" }, h("h2", {}, t("review_answers")));
  if (!possible.available) return h("section", { class: "card" }, heading, h("p", { class: "small muted" }, possible.because));
  const inputs = Object.fromEntries(FIELDS.map((name) => [name, h("input", { class: "field", name, value: typed[name], type: "search", dir: "auto", autocomplete: "off", spellcheck: "false", maxlength: "256" })]));
  const list = h("div", { class: "review-answers", "aria-live": "polite" });
  const submit = (event) => {
    event?.preventDefault();
    load();
  };
  let latest = 0;

  async function load() {
    const mine = ++latest;
    const wanted = Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value);
    try {
      const found = await review.answers([...wanted, ["limit", String(SHOWN)]]);
      if (mine === latest) replace(list, found.answers.length ? h("ul", {}, found.answers.map(item)) : h("p", { class: "small muted" }, t("review_none")));
    } catch (error) {
      if (mine === latest) replace(list, h("p", { class: "fault" }, error.message || t(`error_${error.kind}`)));
    }
  }

  function item(answer) {
    const shown = answer.queries.filter((query) => query.verdict === "shown");
    const dropped = answer.queries.filter((query) => query.verdict !== "shown");
    const ofVideo = () => {
      for (const [name, input] of Object.entries(inputs)) input.value = name === "video" ? answer.photo_id : "";
      load();
    };
    return h("li", { class: "review-answer" },
      h("p", { class: "small" }, h("button", { class: "link", type: "button", title: t("review_of_video"), onclick: ofVideo }, bdi(answer.photo_id)), ` · ${timeOf(answer.time_ms, getLanguage())}`,
        answer.reason && ` · ${t(`reason_${answer.reason}`)}`, answer.blocked_by && ` · ${t(`rule_${answer.blocked_by}`)}`),
      h("p", { class: "small muted ids" }, t("review_viewer"), " ", answer.viewer ? bdi(answer.viewer) : t("review_no_pseudonym"), ` · ${t("review_request")} `, bdi(answer.request_id)),
      shown.length > 0 && h("ul", { class: "review-queries" }, shown.map((query) => h("li", {}, bdi(query.query), actions(query.query, answer.photo_id)))),
      dropped.length > 0 && h("details", { class: "small" }, h("summary", {}, t("review_dropped", { count: dropped.length })),
        h("ul", { class: "review-queries" }, dropped.map((query) => h("li", {}, bdi(query.query || t("rule_reject_token")), h("span", { class: "muted" }, query.rule ? t(`rule_${query.rule}`) : t("dropped")),
          query.query && actions(query.query, answer.photo_id))))));
  }

  const actions = (query, photo_id) => [["block_query", "review_block", "review_block_label"], ["pin_query", "review_pin", "review_pin_label"]]
    .filter(([kind]) => kinds.includes(kind))
    .map(([kind, label, long]) => h("button", { class: "button small", type: "button", "aria-label": t(long, { query, video: photo_id }), onclick: () => propose(kind, query, photo_id) }, t(label)));

  load();
  return h("section", { class: "card" }, heading,
    h("p", { class: "small muted" }, t(`review_source_${possible.source}`, { count: possible.capacity })),
    h("form", { class: "review-search", role: "search", onsubmit: submit }, FIELDS.map((name) => h("label", {}, t(`review_by_${name}`), inputs[name])),
      h("button", { class: "button", type: "submit" }, t("review_search"))),
    list);
}
