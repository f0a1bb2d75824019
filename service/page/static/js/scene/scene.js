// Draws a video as an SVG scene from what the catalogue knows: product type, colour, price, and what the video is about.
import { productOf } from "../catalogue.js";
import { svg } from "../dom.js";
import { backgroundOf, hash, productColours } from "./palette.js";
import { shapeOf } from "./shapes.js";

const WIDTH = 360;
const HEIGHT = 600;
const FLOOR = 388;
const STAR = "M0 -11l3.3 7.2 7.7 .8-5.8 5.2 1.7 7.7-6.9-4-6.9 4 1.7-7.7-5.8-5.2 7.7-.8z";
let scenes = 0;

function parts(noun, colours) {
  return shapeOf(noun).map(([colour, d, width]) =>
    width
      ? svg("path", { d, fill: "none", stroke: colours[colour], "stroke-width": width, "stroke-linecap": "round", "stroke-linejoin": "round" })
      : svg("path", { d, fill: colours[colour] }));
}

function gradient(id, stops, attributes) {
  return svg("linearGradient", { id, x1: 0, y1: 0, x2: 0, y2: 1, ...attributes }, stops.map(([offset, colour]) => svg("stop", { offset, "stop-color": colour })));
}

const at = (x, y, scale, ...children) => svg("g", { transform: `translate(${x} ${y}) scale(${scale})` }, children);

/** Returns the scene of a video of the feed. Without a shop, it shows a plain parcel. */
export function drawScene(item, shop) {
  const product = shop && item.product !== undefined ? productOf(shop, item.product) : null;
  const type = product ? shop.types[product.type] : { noun: "parcel", department: "" };
  const back = backgroundOf(type.department, item.photo_id);
  const colours = productColours(product?.kind, product ? `${product.brand}${product.model}` : item.photo_id);
  const id = `scene-${scenes++}`;
  const root = svg("svg", { class: "scene", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" });
  const tilt = hash(item.photo_id) % 2 ? 1 : -1;
  root.append(
    svg("defs", {}, gradient(`${id}-wall`, [["0", back.light], ["1", back.deep]]), gradient(`${id}-floor`, [["0", back.floor], ["1", back.ink]])),
    svg("rect", { width: WIDTH, height: HEIGHT, fill: `url(#${id}-wall)` }),
    svg("g", { class: "move-drift" },
      svg("circle", { cx: 180 - tilt * 120, cy: 130, r: 96, fill: back.blob, opacity: ".5" }), svg("circle", { cx: 180 + tilt * 130, cy: 268, r: 62, fill: back.light, opacity: ".55" })),
    svg("path", { d: `M0 ${FLOOR - 22}q180 -26 360 0v260h-360z`, fill: `url(#${id}-floor)`, opacity: ".55" }),
    svg("ellipse", { cx: 180, cy: FLOOR, rx: 112, ry: 15, fill: back.ink, opacity: ".28" }),
  );
  const draw = ACTIONS[item.aspect] ?? ACTIONS.showcase;
  root.append(draw({ object: parts(type.noun, colours), product, item, back, colours }));
  return root;
}

/** Returns a small picture of a product. */
export function drawThumbnail(product, shop) {
  const type = shop.types[product.type];
  const back = backgroundOf(type.department, product.model);
  const colours = productColours(product.kind, `${product.brand}${product.model}`);
  return svg("svg", { viewBox: "-130 -130 260 260" }, svg("rect", { x: -130, y: -130, width: 260, height: 260, fill: back.light }), parts(type.noun, colours));
}

const standing = (object, movement, scale = 1.12) => at(180, FLOOR - 100 * scale, scale, svg("g", { class: movement }, object));

function priceTag(product) {
  const text = product ? `$${product.price.toFixed(2)}` : "$";
  const width = 34 + 13 * text.length;
  return at(206, 152, 1, svg("g", { class: "move-tag" },
    svg("path", { d: "M10 8q-22 -24 -8 -44", fill: "none", stroke: "#ffffff", "stroke-width": 2.5 }),
    svg("path", { d: `M0 12q0 -6 6 -6h${width - 12}q6 0 6 6v34q0 6 -6 6h-${width - 12}q-6 0 -6 -6z`, fill: "#fff6da" }),
    svg("circle", { cx: 13, cy: 18, r: 4.5, fill: "#8a6420" }),
    svg("text", { x: width / 2 + 5, y: 38, "text-anchor": "middle", "font-size": 22, "font-weight": 700, fill: "#7a3b00" }, text)));
}

const spark = (x, y, size, colour) => svg("path", { class: "move-spark", d: `M${x} ${y - size}q2 ${size - 2} ${size} ${size}q-${size - 2} 2 -${size} ${size}q-2 -${size - 2} -${size} -${size}q${size - 2} -2 ${size} -${size}z`, fill: colour });

const ACTIONS = {
  price: ({ object, product }) => svg("g", {}, standing(object, "move-float"), priceTag(product)),
  showcase: ({ object }) => svg("g", {}, svg("ellipse", { cx: 180, cy: FLOOR, rx: 104, ry: 13, fill: "#ffffff", opacity: ".5" }), standing(object, "move-turn"),
    svg("g", {}, spark(70, 190, 15, "#ffffff"), spark(292, 230, 11, "#ffffff"), spark(270, 150, 17, "#ffffff"))),
  review: ({ object }) => svg("g", {}, standing(object, "move-float", 1.02),
    svg("g", { transform: "translate(180 150)" }, svg("path", { d: "M-88 -24h176q14 0 14 14v24q0 14 -14 14h-74l-14 16l-14 -16h-74q-14 0 -14 -14v-24q0 -14 14 -14z", fill: "#ffffff", opacity: ".94" }),
      svg("g", {}, [-60, -30, 0, 30, 60].map((x) => svg("g", { class: "move-star" }, svg("path", { d: STAR, transform: `translate(${x} 2) scale(1.15)`, fill: "#f0a422" })))))),
  use: ({ object, product, back }) => svg("g", {}, standing(object, "move-use"),
    svg("g", { fill: "none", stroke: "#ffffff", "stroke-width": 5, "stroke-linecap": "round", opacity: ".8" }, svg("path", { d: "M48 232q-14 44 0 88M30 252q-8 26 0 50M312 232q14 44 0 88M330 252q8 26 0 50" })),
    product && label(product.use, back)),
  unboxing: ({ object, colours }) => svg("g", {},
    at(180, FLOOR - 128, 0.9, svg("g", { class: "move-out" }, object)),
    svg("g", {}, spark(84, 176, 13, "#fff3c4"), spark(280, 196, 16, "#fff3c4"), spark(244, 140, 11, "#fff3c4")),
    svg("g", { transform: `translate(180 ${FLOOR - 74})` },
      svg("path", { class: "move-flap-left", d: "M-112 0l-44 -26l104 -20l44 26z", fill: "#d9a869" }), svg("path", { class: "move-flap-right", d: "M112 0l44 -26l-104 -20l-44 26z", fill: "#d9a869" }),
      svg("path", { d: "M-112 0h224v84q0 6 -6 6h-212q-6 0 -6 -6z", fill: "#c08a4d" }), svg("path", { d: "M-112 0h224v14h-224z", fill: "#a8753c" }),
      svg("rect", { x: -24, y: 0, width: 48, height: 90, fill: "#e6c592", opacity: ".7" }), svg("circle", { cx: 78, cy: 62, r: 12, fill: colours.m, opacity: ".8" }))),
};

function label(text, back) {
  const width = 26 + 8 * text.length;
  return svg("g", { transform: "translate(180 148)" }, svg("rect", { x: -width / 2, y: -15, width, height: 30, rx: 8, fill: back.ink, opacity: ".82" }),
    svg("text", { "text-anchor": "middle", y: 5, "font-size": 14, "font-weight": 600, fill: "#ffffff" }, text));
}
