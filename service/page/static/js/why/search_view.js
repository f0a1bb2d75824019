// The beam search on the page: the hypotheses, whose paths can be marked, the tree, and the same as a list.
import { bdi, h, replace } from "../dom.js";
import { t } from "../words.js";
import { drawTree } from "./search_tree.js";

const score = (value) => value.toFixed(2);

/** Shows a search. The path of the chosen hypothesis is marked; that under the pointer or the focus comes first. */
export function renderTree(root, search) {
  const state = h("p", { class: "small path-state", role: "status" });
  const box = h("div", { class: "tree-box", tabindex: "0", role: "region", "aria-label": t("tree_label", { steps: search.steps.length, width: search.width }) });
  let chosen = search.hypotheses[0]?.rank ?? null;
  const tree = drawTree(search, {
    label: t("tree_label", { steps: search.steps.length, width: search.width }),
    stepLabel: (number) => t("step", { number }),
    describe,
    preview: (rank) => mark(rank ?? chosen),
    choose,
  });
  box.append(tree.node);
  const buttons = search.hypotheses.map((item) =>
    h("button", { class: "path", type: "button", "data-focus": `path-${item.rank}`, "aria-pressed": String(item.rank === chosen),
      onclick: () => choose(item.rank), onfocus: () => mark(item.rank), onblur: () => mark(chosen),
      onpointerenter: () => mark(item.rank), onpointerleave: () => mark(chosen) },
    h("span", { class: "number muted" }, `${item.rank}`), item.query ? bdi(item.query) : h("span", {}, t("rule_reject_token")), h("span", { class: "number muted" }, score(item.score))));

  function mark(rank) {
    tree.mark(rank);
    buttons.forEach((button, at) => button.classList.toggle("marked", search.hypotheses[at].rank === rank));
  }

  function choose(rank) {
    chosen = rank;
    search.hypotheses.forEach((item, at) => buttons[at].setAttribute("aria-pressed", String(item.rank === rank)));
    mark(rank);
    const item = search.hypotheses.find((one) => one.rank === rank);
    replace(state, bdi(item.query || t("rule_reject_token")), `: ${t(item.forced ? "path_forced" : item.step === null ? "path_entry" : "path_ended", { step: item.step, score: score(item.score) })} `,
      bdi(tree.tokensOf(rank).join(" → ")));
    box.scrollTo({ left: tree.endOf(rank) - box.clientWidth + 40 });
  }

  function describe(item, number, kind) {
    const parts = [t("step", { number }), `${item.token} ${score(item.sum_logprob)}`];
    if (kind === "ended") parts.push(t(item.rank ? "ended_as" : "ended_lost", { query: item.query, score: score(item.score), rank: item.rank }));
    if (kind === "cut") parts.push(t("cut_by", { list: item.constraints.map((name) => t(`constraint_${name}`)).join(", ") }));
    return parts.join(" · ");
  }

  replace(root,
    search.cut_by_deadline && h("p", { class: "small cut" }, t("search_cut")),
    h("div", { class: "paths", role: "group", "aria-label": t("hypotheses") }, buttons),
    state, box, legend(), listOf(search));
  if (chosen !== null) choose(chosen);
  box.scrollLeft = 0;
}

function legend() {
  const entry = (kind) => h("li", {}, h("span", { class: `legend legend-${kind}`, "aria-hidden": "true" }), t(`legend_${kind}`));
  return h("ul", { class: "counts small" }, ["open", "path", "ended", "cut"].map(entry));
}

/** The same as a nested list, made when it is opened. */
function listOf(search) {
  const place = h("div", { class: "steps-box", tabindex: "0", role: "region", "aria-label": t("search_list") });
  const fill = () => {
    if (!place.firstChild) place.append(h("ol", { class: "steps-list" }, search.steps.map((step, at) => stepItem(search, step, at))));
  };
  return h("details", { class: "small", ontoggle: fill }, h("summary", {}, t("search_list")), place);
}

function stepItem(search, step, at) {
  const before = at > 0 ? search.steps[at - 1].beams : null;
  const from = (item) => (before ? [" ", t("continues", { number: item.parent + 1 }), " ", bdi(before[item.parent].token)] : []);
  const line = (item, ...rest) => h("li", {}, bdi(item.token), ` ${score(item.sum_logprob)}`, ...from(item), ...rest);
  return h("li", {}, h("h3", {}, t("step", { number: at + 1 })),
    h("ul", { "aria-label": t("legend_open") }, step.beams.map((item) => line(item))),
    step.ended.length > 0 && h("ul", { class: "ended", "aria-label": t("legend_ended") }, step.ended.map((item) =>
      line(item, ` · ${t(item.rank ? "ended_as" : "ended_lost", { query: item.query, score: score(item.score), rank: item.rank })}`))),
    step.cut.length > 0 && h("ul", { class: "cut-list", "aria-label": t("legend_cut") }, step.cut.map((item) =>
      line(item, ` · ${t("cut_by", { list: item.constraints.map((name) => t(`constraint_${name}`)).join(", ") })}`))));
}
