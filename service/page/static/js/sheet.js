// A sheet that slides up inside the phone. It keeps the focus until it is closed.
import { h, icon, trap } from "./dom.js";
import { t } from "./words.js";

let open = null;

/** Opens a sheet and returns the function that closes it. An open sheet is closed first. */
export function openSheet(phone, heading, body, role = "dialog") {
  open?.();
  const title = h("h2", { id: "sheet-title", tabindex: "-1" }, heading);
  const shade = h("button", { class: "shade", type: "button", tabindex: "-1", "aria-hidden": "true", onclick: () => close() });
  const sheet = h("section", { class: "sheet", role, "aria-modal": "true", "aria-labelledby": "sheet-title" },
    h("header", { class: "sheet-head" }, title, h("button", { class: "close", type: "button", "aria-label": t("close"), onclick: () => close() }, icon("close"))),
    h("div", { class: "sheet-body", tabindex: "0" }, body));
  phone.append(shade, sheet);
  const release = trap(sheet, () => close());
  title.focus({ preventScroll: true });

  function close() {
    if (open !== close) return;
    open = null;
    sheet.remove();
    shade.remove();
    release();
  }
  open = close;
  return close;
}
