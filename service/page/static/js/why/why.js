// "Why this bar?": time, evidence, source, hypotheses and search of the answer that the phone shows.
import { current } from "../answers.js";
import { h, replace } from "../dom.js";
import { on, state } from "../store.js";
import { t } from "../words.js";
import { mountEvidence } from "./evidence.js";
import { renderHypotheses } from "./hypotheses.js";
import { mountSearch } from "./search.js";
import { renderSource } from "./source.js";
import { renderTime } from "./time.js";

export function mountWhy(root) {
  const note = h("div", {});
  const time = h("section", { class: "card time" });
  const evidence = h("section", { class: "card evidence" });
  const hypotheses = h("section", { class: "card hypotheses" });
  const source = h("section", { class: "card source" });
  const search = h("section", { class: "card search" });
  root.append(note, h("div", { class: "cards" }, time, h("div", { class: "column" }, evidence), h("div", { class: "column" }, hypotheses, source), search));
  mountEvidence(evidence);
  mountSearch(search);

  function render() {
    const entry = current();
    replace(note, state.deployment.explain ? null : h("p", { class: "card notice" }, t("no_explain")));
    renderTime(time, entry);
    for (const card of [evidence, hypotheses, source, search]) card.hidden = !state.deployment.explain;
    if (entry?.status === "waiting") return; // the last answer stays until the next one is here
    renderHypotheses(hypotheses, entry);
    renderSource(source, entry);
  }

  on("answer language", render);
  on("log", () => renderTime(time, current()));
  render();
}
