// The beam search of the shown answer. It is asked for only while this section is open and can be seen.
import { askSearch, current } from "../answers.js";
import { bdi, h, loadStyles, replace } from "../dom.js";
import { on } from "../store.js";
import { errorText, t } from "../words.js";

const found = new WeakMap(); // the search of an answer: { status, search, error }
let asking = null;

export function mountSearch(root) {
  const title = h("h2", {});
  const note = h("p", { class: "small muted" });
  const body = h("div", { class: "search-body" });
  const details = h("details", { class: "search-details", ontoggle: () => render() }, h("summary", {}, title), note, body);
  root.append(details);
  let drawn = null;

  async function render() {
    title.textContent = t("search");
    note.textContent = t("search_note");
    const entry = current();
    if (!details.open || !root.checkVisibility({ visibilityProperty: true }) || entry?.status !== "ready") return;
    if (!found.has(entry)) ask(entry);
    const result = found.get(entry);
    if (result.status === "waiting") {
      body.setAttribute("aria-busy", "true"); // the tree of the last answer stays until the next one is here
      if (!drawn) replace(body, h("p", { class: "small muted" }, t("waiting")));
      return;
    }
    body.removeAttribute("aria-busy");
    drawn = result;
    if (result.status === "failed") replace(body, h("p", { class: "small muted" }, bdi(errorText(result.error)), " ", retryButton(entry)));
    else if (!result.search) replace(body, h("p", { class: "small muted" }, t("no_search")));
    else {
      try {
        const [{ renderTree }] = await Promise.all([import("./search_view.js"), loadStyles("search")]);
        if (drawn === result) renderTree(body, result.search);
      } catch {
        replace(body, h("p", { class: "small muted" }, t("error_down")));
      }
    }
  }

  function retryButton(entry) {
    const again = () => {
      found.delete(entry);
      render();
    };
    return h("button", { class: "button", type: "button", onclick: again }, t("retry"));
  }

  async function ask(entry) {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    found.set(entry, { status: "waiting" });
    try {
      found.set(entry, { status: "ready", search: await askSearch(signal) });
    } catch (error) {
      if (signal.aborted) found.delete(entry);
      else found.set(entry, { status: "failed", error });
    }
    if (current() === entry) render();
  }

  on("answer language panel", render);
  render();
}
