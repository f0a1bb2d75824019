// The choice of the viewer, whose past queries and tastes change the bar.
import { bdi, h, replace } from "./dom.js";
import { emit, on, state } from "./store.js";
import { t } from "./words.js";

const HUES = 360;

function face(viewer) {
  const node = h("span", { class: "face", "aria-hidden": "true" }, viewer ? viewer.user_id.slice(-2) : "?");
  const hue = viewer ? (Number.parseInt(viewer.user_id.slice(1), 10) * 47) % HUES : 220;
  node.style.setProperty("background", viewer ? `hsl(${hue} 45% 32%)` : "#555c68");
  return node;
}

const interestsOf = (viewer) => viewer.interests.map((interest) => interest.department).join(", ");

export function mountViewers(phone) {
  const place = h("div", { class: "label" });
  document.getElementById("watching").prepend(place);

  function render() {
    const { viewer } = state;
    const name = viewer ? viewer.user_id : t("no_viewer");
    const likes = viewer?.interests.length ? ` · ${viewer.interests[0].department}` : "";
    replace(place, h("button", { class: "chip-dark", type: "button", id: "viewer", "data-focus": "viewer", "aria-haspopup": "dialog",
      "aria-label": t("watching_as", { name: `${name}${likes}` }), onclick: pick }, face(viewer), h("span", { class: "label" }, bdi(`${name}${likes}`))));
  }

  async function pick() {
    const { openSheet } = await import("./sheet.js");
    const choose = (viewer) => {
      state.viewer = viewer;
      close();
      emit("viewer");
    };
    const options = [...state.viewers, null].map((viewer) =>
      h("button", { class: "viewer", type: "button", "aria-pressed": String(viewer === state.viewer), onclick: () => choose(viewer) },
        face(viewer), h("span", {}, ...describe(viewer))));
    const close = openSheet(phone, t("viewers"), options);
  }

  on("viewer language", render);
  render();
}

function describe(viewer) {
  if (!viewer) return [h("b", {}, t("no_viewer")), h("span", { class: "small muted" }, ` ${t("no_viewer_note")}`)];
  const first = viewer.interests[0];
  return [
    h("b", {}, bdi(viewer.user_id)),
    viewer.tier && h("span", { class: "small muted" }, ` · ${t(`tier_${viewer.tier}`)}`),
    h("br"),
    first && h("span", { class: "small muted" }, bdi(t("likes", { list: `${interestsOf(viewer)}; ${first.brand}, ${first.taste}` }))),
  ].filter(Boolean);
}
