// The change of a rule with its reason, the rules in force, and the latest changes.
import { forgetAnswers } from "../answers.js";
import { review } from "../api.js";
import { bdi, h, replace } from "../dom.js";
import { getLanguage, t } from "../words.js";
import { timeOf } from "./times.js";

const LISTED = 50;
const MAX_QUERY = 256;
const MAX_REASON = 500;
const isPin = (kind) => kind === "pin_query" || kind === "unpin_query";

/** Returns { node, kinds, propose }: the card, the changes that are possible, and what fills its form. `typed`: the values of the form. */
export function rulesCard(possible, typed) {
  const { kinds } = possible;
  const heading = h("div", { class: "card-head" }, h("h2", {}, t("review_rules")));
  const note = possible.because && h("p", { class: "small muted" }, possible.because);
  if (!possible.readable) return { node: h("section", { class: "card" }, heading, note), kinds, propose: () => {} };

  let version = null;
  const kind = h("select", { class: "field", name: "kind", onchange: () => fit() }, kinds.map((name) => h("option", { value: name }, t(`change_${name}`))));
  const query = h("input", { class: "field", name: "query", value: typed.query, dir: "auto", autocomplete: "off", spellcheck: "false", maxlength: MAX_QUERY, required: true });
  const video = h("input", { class: "field", name: "photo_id", value: typed.photo_id, autocomplete: "off", spellcheck: "false", maxlength: "128" });
  const reason = h("input", { class: "field", name: "reason", value: typed.reason, dir: "auto", autocomplete: "off", maxlength: MAX_REASON, required: true });
  const videoLabel = h("label", {}, t("review_by_video"), video);
  const outcome = h("p", { class: "outcome", role: "status" });
  const button = h("button", { class: "button primary", type: "submit" }, t("change_submit"));
  const form = h("form", { class: "review-change", onsubmit: submit },
    h("label", {}, t("kind_of_change"), kind), h("label", {}, t("query"), query), videoLabel, h("label", {}, t("change_reason"), reason), button);
  const rules = h("div", { class: "review-rules" });

  function fit() {
    videoLabel.hidden = !isPin(kind.value);
    video.required = isPin(kind.value);
  }

  function propose(name, text, photo_id) {
    kind.value = name;
    query.value = text;
    video.value = photo_id ?? "";
    fit();
    say("", false);
    form.scrollIntoView({ block: "nearest" });
    reason.focus();
  }

  function say(text, isFault) {
    outcome.classList.toggle("fault", isFault);
    replace(outcome, text);
  }

  async function submit(event) {
    event.preventDefault();
    const change = { kind: kind.value, query: query.value.trim(), reason: reason.value.trim(), version };
    if (isPin(change.kind)) change.photo_id = video.value.trim();
    button.disabled = true;
    try {
      const made = await review.change(change);
      say(`${t(`done_${change.kind}`, { query: change.query, video: change.photo_id })} ${t(made.in_force_here ? "effect_here" : "effect_soon")}`, false);
      query.value = "";
      reason.value = "";
      forgetAnswers();
      await load();
    } catch (error) {
      say(`${error.message || t(`error_${error.kind}`)} ${error.kind === "conflict" ? t("change_again") : ""}`, true);
      if (error.kind === "conflict") await load();
    } finally {
      button.disabled = false;
    }
  }

  async function load() {
    try {
      const found = await review.rules();
      version = found.version;
      replace(rules, ...content(found));
    } catch (error) {
      replace(rules, h("p", { class: "fault" }, error.message || t(`error_${error.kind}`)));
    }
  }

  const undo = (name, label, text, photo_id) => kinds.includes(name) &&
    h("button", { class: "button small", type: "button", "aria-label": t(`${label}_label`, { query: text, video: photo_id }), onclick: () => propose(name, text, photo_id) }, t(label));

  function content(found) {
    const blocked = found.blocked_queries.slice(-LISTED).reverse();
    const pins = found.pins.slice(-LISTED).reverse();
    return [
      h("p", { class: "small muted" }, t("rules_version", { version: found.version })),
      found.fault && h("p", { class: "fault" }, found.fault),
      h("h3", {}, t("blocked_queries", { count: found.blocked_queries_total })),
      h("ul", { class: "review-queries" }, blocked.map((text) => h("li", {}, bdi(text), undo("unblock_query", "review_unblock", text)))),
      h("h3", {}, t("pinned_queries", { count: found.pins_total })),
      h("ul", { class: "review-queries" }, pins.map((pin) => h("li", {}, bdi(pin.query), h("span", { class: "muted" }, bdi(pin.photo_id ?? pin.category)),
        pin.photo_id && undo("unpin_query", "review_unpin", pin.query, pin.photo_id)))),
      found.changes.length > 0 && h("h3", {}, t("changes")),
      h("ul", { class: "review-changes small" }, found.changes.slice(0, LISTED).map((change) => h("li", {},
        h("span", { class: "muted" }, timeOf(change.time_ms, getLanguage()), " · ", bdi(change.who)), h("br"),
        t(`change_${change.kind}`), ": ", bdi(change.query), change.photo_id && [" · ", bdi(change.photo_id)], " · ", bdi(change.reason)))),
    ];
  }

  if (typed.kind) kind.value = typed.kind;
  fit();
  load();
  return { node: h("section", { class: "card" }, heading, note, kinds.length > 0 && form, outcome, rules), kinds, propose };
}
