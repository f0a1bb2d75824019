// The vertical feed. The browser scrolls and snaps; this module draws the videos near the watched one.
import { bdi, h, icon, replace } from "./dom.js";
import { drawScene } from "./scene/scene.js";
import { emit, on, state } from "./store.js";
import { t } from "./words.js";

const DRAWN_AROUND = 2; // as soon as the first bar is there
const LONGEST_LABEL = 120;
const MOSTLY = 0.6;
const LOOK_MS = 150;
const ARRIVED_PX = 2;

export function mountFeed(phone) {
  const slides = state.videos.map((item, index) =>
    h("article", { class: "slide", tabindex: "-1", "aria-posinset": index + 1, "aria-setsize": state.videos.length }));
  const scroller = h("div", { class: "feed", id: "feed", role: "feed", tabindex: "0" }, slides);
  const steps = h("div", { class: "steps" });
  const top = h("div", { class: "watching", id: "watching" }, steps);
  phone.append(h("div", { class: "player" }, top, scroller));

  let around = 0;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let goal = 0; // where the scrolling ends; a second key press counts from there
  let isGoing = false;
  let timer = 0;
  const place = () => Math.round(scroller.scrollTop / scroller.clientHeight);
  const scroll = () => scroller.scrollTo({ top: goal * scroller.clientHeight, behavior: calm.matches ? "instant" : "smooth" });
  const go = (by) => {
    const target = Math.max(0, Math.min(slides.length - 1, goal + by));
    if (target === goal) return;
    goal = target;
    isGoing = true;
    scroll();
    follow();
    if (document.activeElement?.classList.contains("slide")) slides[goal].focus({ preventScroll: true });
  };
  // The browser may end a smooth scrolling early and without an event, as when it snaps after a change of the layout.
  // So a scrolling that stands still is begun again until it has arrived.
  function follow(before = -1) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!isGoing) return;
      const top = scroller.scrollTop;
      if (Math.abs(top - goal * scroller.clientHeight) < ARRIVED_PX) isGoing = false;
      else {
        if (top === before) scroll();
        follow(top);
      }
    }, LOOK_MS);
  }
  for (const name of ["wheel", "touchstart", "pointerdown"]) scroller.addEventListener(name, () => { isGoing = false; }, { passive: true });
  scroller.addEventListener("scrollend", () => {
    if (!isGoing) goal = place();
    else if (place() !== goal) scroll();
    else isGoing = false;
  });

  const watched = new IntersectionObserver((changes) => {
    for (const { intersectionRatio, target } of changes) if (intersectionRatio >= MOSTLY) show(slides.indexOf(target));
  }, { root: scroller, threshold: MOSTLY });
  slides.forEach((slide) => watched.observe(slide));

  function show(index) {
    if (!isGoing) goal = index;
    if (index === state.index) return;
    state.index = index;
    draw();
    emit("video");
  }

  function draw() {
    const drawn = (index) => Math.abs(index - state.index) <= around;
    slides.forEach((slide, index) => {
      if (drawn(index) && !slide.firstChild) slide.append(drawScene(state.videos[index], state.shop), words(state.videos[index]));
      else if (!drawn(index) && slide.firstChild) slide.replaceChildren();
      slide.classList.toggle("current", index === state.index);
      slide.tabIndex = index === state.index ? 0 : -1;
      if (drawn(index)) slide.setAttribute("aria-label", labelOf(state.videos[index]));
    });
  }

  function label() {
    scroller.setAttribute("aria-label", t("feed"));
    const step = (name, by) => h("button", { class: "chip-dark round", type: "button", "data-focus": name, "aria-label": t(name), onclick: () => go(by) }, icon(by < 0 ? "up" : "down"));
    replace(steps, step("previous", -1), step("next", 1));
  }

  document.addEventListener("keydown", (event) => {
    const inPhone = phone.contains(event.target) || event.target === document.body;
    if (!inPhone || event.defaultPrevented || event.target.closest?.(".sheet, input, textarea, select")) return;
    const by = { ArrowDown: 1, PageDown: 1, j: 1, ArrowUp: -1, PageUp: -1, k: -1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(by);
  });
  // It ends a smooth scrolling that is under way, so it goes where that one would have ended.
  new ResizeObserver(() => scroller.scrollTo({ top: goal * scroller.clientHeight, behavior: "instant" })).observe(scroller);
  on("language", () => {
    label();
    for (const slide of slides) slide.replaceChildren();
    draw();
  });
  on("started", () => {
    around = DRAWN_AROUND;
    draw();
  });
  label();
  draw();
}

function labelOf(item) {
  const text = item.caption || t("no_caption");
  return text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL)}…` : text;
}

function words(item) {
  const caption = item.caption
    ? h("p", { class: "caption" }, bdi(item.caption))
    : h("p", { class: "caption absent" }, t("no_caption"));
  return h("div", { class: "words" }, h("p", { class: "aspect" }, t(item.aspect)), h("p", { class: "author" }, bdi(item.author ? `@${item.author}` : item.photo_id)), caption);
}
