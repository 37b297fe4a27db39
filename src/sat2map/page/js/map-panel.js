// The panel beside the live map: the list of rasters, their layers, the legend, and addresses to copy.

import { element } from "./api.js";
import { make } from "./model.js";
import { texts } from "./texts.js";

/** List the rasters whose name contains what is searched for; `choose` is called with the name of one. */
export function showList(rasters, current, choose) {
  const wanted = element("find").value.trim().toLowerCase();
  const found = rasters.filter(({ name }) => name.toLowerCase().includes(wanted));
  element("find").hidden = rasters.length < 2;
  element("rasters").replaceChildren(
    ...found.slice(0, 200).map(({ name, bounds }) => {
      const title = make("strong", { textContent: name });
      const button = make("button", { type: "button" }, title, make("span", { textContent: extent(bounds) }));
      if (name === current) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => choose(name));
      return make("li", {}, button);
    }),
  );
  if (!found.length) element("rasters").replaceChildren(make("li", { textContent: texts.noneFound }));
}

/** Side lengths and centre of a raster, for people. */
function extent([west, south, east, north]) {
  const lat = (south + north) / 2;
  const km = [(east - west) * 111.32 * Math.cos((lat * Math.PI) / 180), (north - south) * 111.32];
  const size = km
    .map((side) => side.toLocaleString("en", { maximumSignificantDigits: 2, useGrouping: false }))
    .join(" × ");
  return texts.extent(size, Math.abs(lat).toFixed(2), lat < 0, Math.abs((west + east) / 2).toFixed(2), west + east < 0);
}

/** Offer the layers of a raster; `choose` is called with the kind of one. */
export function chooseKind(kinds, current, choose) {
  const legend = element("kinds").querySelector("legend");
  element("kinds").replaceChildren(
    legend,
    ...kinds.map((kind) => {
      const radio = make("input", { type: "radio", name: "kind", value: kind, checked: kind === current });
      radio.addEventListener("change", async () => {
        await choose(kind);
        element("kinds").querySelector(":checked")?.focus();
      });
      return make("label", {}, radio, make("span", { textContent: texts.kinds[kind] }));
    }),
  );
}

/** Show the colours of a layer with their names. */
export function showLegend(kind, classes) {
  const box = element("legend");
  box.className = kind === "confidence" ? "ramp" : "classes";
  box.hidden = kind === "imagery" || !classes.length;
  const entries =
    kind === "confidence"
      ? [texts.unsure, texts.sure].map((textContent) => make("span", { textContent }))
      : classes.map(({ name, colour }) => {
          const swatch = make("i");
          swatch.style.background = colour;
          return make("span", {}, swatch, name);
        });
  box.replaceChildren(...entries);
  element("chip").textContent = texts.kinds[kind];
}

/** Let the buttons beside addresses copy them. */
export function offerCopies() {
  for (const button of document.querySelectorAll("[data-copies]")) {
    const field = element(button.dataset.copies);
    button.setAttribute("aria-label", `${texts.copy}: ${field.labels[0].textContent}`);
    button.addEventListener("click", async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
        element("summary").textContent = field.id === "link" ? texts.copied : texts.qgisHelp;
      } catch {
        element("summary").textContent = texts.copyByKey;
      }
    });
  }
}
