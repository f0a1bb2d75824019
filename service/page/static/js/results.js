// The result sheet of a clicked query: the products of the demo's shop that share its words.
import { search } from "./catalogue.js";
import { bdi, h, icon } from "./dom.js";
import { drawThumbnail } from "./scene/scene.js";
import { openSheet } from "./sheet.js";
import { state } from "./store.js";
import { t } from "./words.js";

const SHOWN = 20;
export function openResults(phone, query) {
  const heading = [`${t("results")} `, bdi(`“${query}”`)];
  openSheet(phone, heading, state.shop ? list(search(state.shop, query)) : nothing(t("no_shop")));
}

const nothing = (text) => h("p", { class: "empty" }, icon("none"), text);

function list(products) {
  if (!products.length) return nothing(t("no_results"));
  const { shop } = state;
  const items = products.slice(0, SHOWN).map((product) =>
    h("li", { class: "item" },
      h("figure", { "aria-hidden": "true" }, drawThumbnail(product, shop)),
      h("div", {},
        h("p", { class: "item-name" }, bdi(`${shop.brands[product.brand]} ${product.model}`)),
        h("p", { class: "small muted" }, bdi(`${product.kind} ${shop.types[product.type].noun} · ${product.feature}, ${product.second_feature}`))),
      h("span", { class: "price" }, `$${product.price.toFixed(2)}`)));
  return [h("p", { class: "small muted" }, t("results_count", { count: products.length })), h("ul", {}, items)];
}
