// Draws a beam search as a tree: a column for each step, a node for each token, an edge to the beam it continues.
import { svg } from "../dom.js";

const NODE_WIDTH = 126;
const NODE_HEIGHT = 22;
const COLUMN = 158;
const ROW = 27;
const TOP = 30;
const LEFT = 54; // the root
const MAX_CUT = 5; // of a step; the list has all
const MAX_TOKEN = 9;

const shown = (token) => {
  const text = token.replace(/^ /, "·").replace(/\s/g, " ");
  return text.length > MAX_TOKEN ? `${text.slice(0, MAX_TOKEN)}…` : text;
};

/**
 * Returns { node, mark, tokensOf, endOf }: the SVG, a function that marks the path of a hypothesis by its rank, its
 * tokens, and where it ends in pixels. `options.preview` and `options.choose` are given the rank under the pointer.
 */
export function drawTree(search, options) {
  const parts = new Map(); // "step kind place" -> { node, edge, rank }
  const paths = new Map(search.hypotheses.map((item) => [item.rank, pathOf(search, item)]));
  const rankAt = new Map(); // the best hypothesis that passes a node
  for (const [rank, path] of [...paths].reverse()) for (const key of path) rankAt.set(key, rank);
  const edges = svg("g", {});
  const nodes = svg("g", {});
  const headings = svg("g", { class: "tree-steps" });
  let rows = 1;

  search.steps.forEach((step, at) => {
    const number = at + 1;
    const x = LEFT + at * COLUMN;
    headings.append(svg("text", { x: x + NODE_WIDTH / 2, y: 14, "text-anchor": "middle" }, options.stepLabel(number)));
    let row = 0;
    const add = (kind, item, place) => {
      const key = `${number} ${kind} ${place}`;
      const y = TOP + row * ROW;
      const rank = rankAt.get(key);
      const state = `${kind}${rank === undefined ? " aside" : ""}`;
      const edge = svg("path", { class: `tree-edge ${state}`, d: edgeTo(at, item.parent, x, y) });
      const node = svg("g", { class: `tree-node ${state}`, "data-rank": rank, "data-node": key, transform: `translate(${x} ${y})` },
        svg("title", {}, options.describe(item, number, kind)),
        svg("rect", { width: NODE_WIDTH, height: NODE_HEIGHT, rx: 6 }),
        svg("text", { class: "tree-token", x: 8, y: 15 }, shown(item.token)),
        svg("text", { class: "tree-score", x: NODE_WIDTH - 8, y: 15, "text-anchor": "end" }, kind === "ended" && item.rank ? `${item.rank}` : item.sum_logprob.toFixed(2)));
      edges.append(edge);
      nodes.append(node);
      parts.set(key, { node, edge });
      row += 1;
    };
    step.beams.forEach((item, place) => add("open", item, place));
    step.ended.forEach((item, place) => add("ended", item, place));
    step.cut.slice(0, MAX_CUT).forEach((item, place) => add("cut", item, place));
    if (step.cut.length > MAX_CUT) {
      nodes.append(svg("text", { class: "tree-score", x: x + 8, y: TOP + row * ROW + 15 }, `+${step.cut.length - MAX_CUT}`));
      row += 1;
    }
    rows = Math.max(rows, row);
  });

  const width = LEFT + search.steps.length * COLUMN;
  const height = TOP + rows * ROW + 6;
  const root = svg("g", { class: "tree-root" }, svg("circle", { cx: 18, cy: TOP + NODE_HEIGHT / 2, r: 7 }));
  const node = svg("svg", { class: "tree", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label,
    onpointerover: (event) => options.preview(rankOf(event)), onpointerleave: () => options.preview(null),
    onclick: (event) => {
      const rank = rankOf(event);
      if (rank !== null) options.choose(rank);
    } }, headings, edges, root, nodes);

  let marked = [];
  function mark(rank) {
    for (const part of marked) for (const one of [part.node, part.edge]) one.classList.remove("marked");
    marked = (paths.get(rank) ?? []).map((key) => parts.get(key));
    for (const part of marked) {
      for (const one of [part.node, part.edge]) one.classList.add("marked");
      edges.append(part.edge); // above the others
    }
  }
  const itemOf = (key) => {
    const [number, kind, place] = key.split(" ");
    return search.steps[number - 1][kind === "open" ? "beams" : "ended"][place];
  };
  return {
    node,
    mark,
    tokensOf: (rank) => paths.get(rank).map((key) => shown(itemOf(key).token)),
    endOf: (rank) => LEFT + paths.get(rank).length * COLUMN,
  };
}

function rankOf(event) {
  const rank = event.target.closest("[data-rank]")?.dataset.rank;
  return rank === undefined ? null : Number(rank);
}

function edgeTo(at, parent, x, y) {
  const middle = NODE_HEIGHT / 2;
  const from = at === 0 ? { x: 25, y: TOP + middle } : { x: LEFT + (at - 1) * COLUMN + NODE_WIDTH, y: TOP + parent * ROW + middle };
  const bend = (x - from.x) / 2;
  return `M${from.x} ${from.y}C${from.x + bend} ${from.y} ${x - bend} ${y + middle} ${x} ${y + middle}`;
}

/** Returns the keys of the nodes from the first step to the end of a hypothesis; a forced one has no end, an entry that no beam ended no nodes. */
function pathOf(search, item) {
  const path = [];
  if (item.step === null) return path;
  const ended = search.steps[item.step - 1]?.ended.findIndex((one) => one.rank === item.rank) ?? -1;
  if (ended >= 0) path.unshift(`${item.step} ended ${ended}`);
  let place = item.parent;
  for (let step = item.step - 1; step >= 1; step--) {
    path.unshift(`${step} open ${place}`);
    place = search.steps[step - 1].beams[place].parent;
  }
  return path;
}
