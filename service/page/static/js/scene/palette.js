// The colours of a scene: of its department, and of its product.
const BACKGROUND_HUES = {
  kitchen: 26, beauty: 338, "fashion women": 300, "fashion men": 216, phones: 252, computers: 204, home: 36, fitness: 158, outdoors: 118,
  baby: 190, pets: 44, toys: 52, crafts: 318, auto: 12, garden: 134,
};
const PRODUCT_COLOURS = {
  black: "#2f333b", white: "#f3f1ec", red: "#c8372d", "sage green": "#93a98a", sage: "#93a98a", nude: "#dcb59a", "rose pink": "#e08ea3",
  berry: "#8c2f56", beige: "#d9c6a5", lilac: "#b9a2d8", navy: "#2b3d68", grey: "#8e949d", olive: "#77763f", clear: "#cfdfe8", blue: "#3b6fd1",
  purple: "#7a55b8", graphite: "#4b5059", pink: "#ec86a8", silver: "#bfc5cd", green: "#3f8a55", khaki: "#a99a6b", orange: "#e2802f",
  camo: "#6b7248", cream: "#efe4cb", mint: "#9fd8c0", blush: "#eab9b3", gold: "#cfa545", pastel: "#cdb6e6", glow: "#9ee06e", unicorn: "#d894e0",
  terracotta: "#c0663f",
};
const FALLBACK_HUES = [8, 32, 168, 205, 262, 330];

export const hash = (text) => [...text].reduce((sum, character) => (Math.imul(sum, 31) + character.codePointAt(0)) >>> 0, 7);

/** Returns the colours of the background: light, deep, and the floor. */
export function backgroundOf(department, seed) {
  const hue = (BACKGROUND_HUES[department] ?? 220) + (hash(seed) % 25) - 12;
  return { light: `hsl(${hue} 52% 84%)`, deep: `hsl(${hue + 16} 42% 58%)`, floor: `hsl(${hue + 10} 34% 46%)`, blob: `hsl(${hue - 26} 70% 78%)`, ink: `hsl(${hue} 40% 20%)` };
}

function channels(colour) {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

const mix = (colour, other, share) => {
  const to = channels(other);
  return `#${channels(colour).map((value, at) => Math.round(value + (to[at] - value) * share).toString(16).padStart(2, "0")).join("")}`;
};

function fromHue(hue) {
  const part = (offset) => {
    const at = (offset + hue / 30) % 12;
    return Math.round(255 * (0.52 - 0.26 * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  };
  return `#${[0, 8, 4].map((offset) => part(offset).toString(16).padStart(2, "0")).join("")}`;
}

/** Returns the fills of the parts of a product by the letters of `shapes`: m main, d dark, l light, and so on. */
export function productColours(kind, seed) {
  const main = PRODUCT_COLOURS[kind] ?? fromHue(FALLBACK_HUES[hash(seed) % FALLBACK_HUES.length]);
  return { m: main, d: mix(main, "#14161b", 0.34), l: mix(main, "#ffffff", 0.42), k: "#23262d", w: "#fbfaf7", g: "#ffffff59", n: "#b4bac4", a: "#ffb74a", s: "#86d6f5", b: "#a9744a", t: "#4d9e5d" };
}
