// The bar below the player: queries, or quietly the reason why it is empty.
import { current, retry } from "./answers.js";
import { sendClick } from "./api.js";
import { bdi, h, icon, replace } from "./dom.js";
import { isEdited, on, video } from "./store.js";
import { errorText, t } from "./words.js";

const SLOW_MS = 1200;

/** `openPanel` opens "Why this bar?" on a narrow screen. */
export function mountBar(phone, openPanel) {
  const bar = h("section", { class: "bar", tabindex: "-1" });
  phone.append(bar);
  let slowTimer = 0;
  let announced = "";

  function render(isSlow = false) {
    clearTimeout(slowTimer);
    const entry = current();
    bar.setAttribute("aria-label", t("bar"));
    bar.setAttribute("aria-busy", String(!entry || entry.status === "waiting"));
    const head = h("div", { class: "bar-head" }, icon("search"), h("span", {}, t("bar")), isEdited() && h("span", {}, `· ${t("edited")}`),
      h("button", { class: "why", type: "button", "data-focus": "why", onclick: openPanel }, t("why")));
    replace(bar, head, content(entry, isSlow));
    if (entry?.status === "waiting") slowTimer = setTimeout(() => render(true), SLOW_MS);
    announce(entry);
  }

  function content(entry, isSlow) {
    if (!entry || entry.status === "waiting") {
      return isSlow ? h("p", { class: "quiet" }, t("slow")) : h("div", { class: "skeleton", "aria-hidden": "true" }, h("span"), h("span"), h("span"));
    }
    if (entry.status === "failed") {
      // Only the start of the page asks for a key.
      const [label, again] = entry.error.kind === "unauthorized" ? ["another_key", () => location.reload()] : ["retry", ask];
      return h("p", { class: "quiet" }, icon("none"), bdi(errorText(entry.error)),
        h("button", { class: "button", type: "button", "data-focus": "retry", onclick: again }, t(label)));
    }
    const { queries, reason } = entry.answer;
    if (!queries.length) return h("p", { class: "quiet", "data-reason": reason }, icon("none"), t(`reason_${reason}`));
    return h("ul", { class: "queries" }, queries.map((item) =>
      h("li", {}, h("button", { class: "query", type: "button", "data-focus": `query-${item.rank}`, title: item.query, onclick: () => click(entry, item) }, bdi(item.query)))));
  }

  /** Asks again. The button goes, so the keyboard stays at the bar. */
  function ask() {
    retry();
    bar.focus({ preventScroll: true });
  }

  async function click(entry, item) {
    sendClick(entry.answer.request_id, item.query, item.rank);
    (await import("./results.js")).openResults(phone, item.query);
  }

  /** Says the new content once; a re-rendered bar is not news. While it waits, nothing of before is left to be read. */
  function announce(entry) {
    const text = spoken(entry);
    const news = `${video()?.photo_id} ${text}`;
    if (news === announced) return;
    announced = news;
    document.getElementById("live").textContent = text;
  }

  function spoken(entry) {
    if (!entry || entry.status === "waiting") return "";
    if (entry.status === "failed") return errorText(entry.error);
    const queries = entry.answer.queries.map((item) => item.query);
    return queries.length ? t("announced", { count: queries.length, list: queries.join(", ") }) : t(`reason_${entry.answer.reason}`);
  }

  on("answer language", () => render());
  render();
}
