// The products of the demo's shop: by number, and by the words of a query.
const LEAST_SCORE = 2;
const CLOSE = 0.6; // of the best score
const STOP = new Set(["best", "for", "price", "review", "cheap", "vs", "and", "with", "the"]);
let index = null; // one entry a product: its words, lower case

const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

/** Returns a product of the shop by the names of its columns. */
export function productOf(shop, number) {
  const row = shop.products[number];
  return Object.fromEntries(shop.product_columns.map((name, at) => [name, row[at]]));
}

function buildIndex(shop) {
  return shop.products.map((_, number) => {
    const product = productOf(shop, number);
    const { noun, other_noun } = shop.types[product.type];
    const title = new Set(wordsOf(`${shop.brands[product.brand]} ${product.model} ${noun} ${other_noun}`));
    const rest = new Set(wordsOf(`${product.kind} ${product.feature} ${product.second_feature} ${product.use}`));
    return { number, product, title, rest };
  });
}

/** Returns the products that match a query, best first: words of the name count twice, a price limit must hold. */
export function search(shop, query) {
  index ??= buildIndex(shop);
  const limit = Number(/\bunder (\d+)/.exec(query.toLowerCase())?.[1] ?? Infinity);
  const asked = wordsOf(query.replace(/\bunder \d+/i, "")).filter((word) => !STOP.has(word));
  const scored = index
    .filter(({ product }) => product.price <= limit)
    .map((entry) => ({ entry, score: asked.reduce((sum, word) => sum + (entry.title.has(word) ? 2 : entry.rest.has(word) ? 1 : 0), 0) }))
    .filter(({ score }) => score >= LEAST_SCORE);
  scored.sort((a, b) => b.score - a.score || a.entry.product.price - b.entry.product.price);
  return scored.filter(({ score }) => score >= CLOSE * scored[0].score).map(({ entry }) => entry.product);
}
