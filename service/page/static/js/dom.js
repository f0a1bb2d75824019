// Builds elements. Strings become text nodes only: nothing in this page parses markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** A text of unknown origin. Its direction is isolated from that of the page. */
export const bdi = (text, attributes) => h("bdi", { dir: "auto", ...attributes }, String(text));

const ICONS = {
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  close: "M6 6l12 12M18 6L6 18",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  sun: "M12 16.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4",
  auto: "M12 3.5a8.5 8.5 0 1 0 0 17zM12 3.5a8.5 8.5 0 0 1 0 17",
  none: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM6.5 6.5l11 11",
  check: "M5 12.5l4.5 4.5L19 7.5",
};
export const icon = (name) =>
  svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

/** Shows one set of children. Keyboard focus inside is given back to the element with the same data-focus. */
export function replace(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (focused) node.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** Makes the rest of the page unreachable while a sheet or drawer is open. Returns the function that ends it. */
export function trap(inside, close) {
  const before = document.activeElement;
  const made = [];
  for (let node = inside; node !== document.body; node = node.parentElement) {
    for (const other of node.parentElement.children) {
      if (other !== node && !other.inert && other.id !== "live" && !other.classList.contains("shade")) made.push(other);
    }
  }
  for (const other of made) other.inert = true;
  const onKey = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  };
  inside.addEventListener("keydown", onKey);
  return () => {
    inside.removeEventListener("keydown", onKey);
    for (const other of made) other.inert = false;
    // The element may have been drawn again in the meantime.
    const name = before?.dataset?.focus;
    const again = before?.isConnected || !name ? before : document.querySelector(`[data-focus="${CSS.escape(name)}"]`);
    again?.focus({ preventScroll: true });
  };
}

const styles = new Map(); // by name, a promise that they apply

function addStyles(name) {
  return new Promise((resolve, reject) => {
    const link = h("link", { rel: "stylesheet", href: `page/css/${name}.css`, onload: resolve, onerror: (event) => {
      styles.delete(name);
      link.remove();
      reject(event);
    } });
    document.head.append(link);
  });
}

/** Adds style sheets of `css/`, once each; resolves when they apply. Those that failed are asked for again. */
export const loadStyles = (...names) => Promise.all(names.map((name) => {
  if (!styles.has(name)) styles.set(name, addStyles(name));
  return styles.get(name);
}));
