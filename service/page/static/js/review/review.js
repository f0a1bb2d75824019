// The reviewer's view: recent answers, and the queries that are blocked or pinned. It needs a key that may review.
import { review, setReviewKey } from "../api.js";
import { h, replace } from "../dom.js";
import { on, state } from "../store.js";
import { t } from "../words.js";
import { answersCard } from "./answers_card.js";
import { rulesCard } from "./rules_card.js";

export function mount(root) {
  let possible = null; // what a reviewer can do here, once a key was accepted

  async function enter() {
    try {
      possible = await review.possible();
      show();
    } catch (error) {
      setReviewKey("");
      askForKey(t(`error_${error.kind}`));
    }
  }

  function askForKey(fault) {
    possible = null;
    const input = h("input", { class: "field", type: "password", autocomplete: "off", spellcheck: "false", "data-focus": "review-key" });
    const submit = (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      setReviewKey(input.value);
      enter();
    };
    replace(root, h("form", { class: "card review-key", onsubmit: submit }, h("h2", {}, t("review_key_title")), h("p", { class: "small muted" }, t("review_key_note")),
      fault && h("p", { class: "fault", role: "alert" }, fault),
      h("label", {}, t("review_key"), input), h("button", { class: "button primary", type: "submit" }, t("open"))));
    if (fault) input.focus();
  }

  function leave() {
    setReviewKey("");
    askForKey(null);
  }

  /** What was typed into a form, by the names of its fields; it is kept when the view is drawn again. */
  const typed = (name) => Object.fromEntries(new FormData(root.querySelector(`form.${name}`) ?? undefined));

  function show() {
    const rules = rulesCard(possible.rules, typed("review-change"));
    const needsKey = state.deployment.review === "key";
    replace(root, h("div", { class: "review" },
      h("p", { class: "card notice row-between" }, h("span", {}, possible.reviewer ? t("review_as", { name: possible.reviewer }) : t("review_open")),
        needsKey && h("button", { class: "button", type: "button", onclick: leave }, t("review_leave"))),
      h("div", { class: "cards" }, answersCard(possible.answers, rules.kinds, rules.propose, typed("review-search")), rules.node)));
  }

  on("language", () => (possible ? show() : state.deployment.review === "key" && askForKey(null)));
  if (state.deployment.review === "key") askForKey(null);
  else enter();
}
