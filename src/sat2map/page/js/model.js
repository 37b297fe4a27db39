// The card of the model, and small parts that several views are made of.

import { element } from "./api.js";
import { texts } from "./texts.js";

/** Show the models and limits that `describe()` gave. */
export function showModels(service) {
  element("to-map").hidden = !service.live_maps;
  element("to-api").hidden = !service.has_api;
  element("takes").textContent = service.takes;
  const pick = element("model");
  pick.replaceChildren(...service.models.map(({ name }) => new Option(name, name)));
  element("model-pick").hidden = service.models.length < 2;
  const show = () =>
    showCard(
      service.models.find(({ name }) => name === pick.value),
      service,
    );
  pick.addEventListener("change", show);
  show();
}

function showCard(model, service) {
  const facts = {
    [texts.factName]: service.models.length < 2 && model.name,
    [texts.factScale]: model.gsd && texts.scaleFact(model.gsd),
    [texts.factEngine]: model.engine,
    [texts.factNotes]: model.notes,
  };
  element("facts").replaceChildren(
    ...Object.entries(facts)
      .filter(([, value]) => value)
      .map(([name, value]) => {
        const group = document.createElement("div");
        group.append(make("dt", { textContent: name }), make("dd", { textContent: value }));
        return group;
      }),
  );
  element("gsd-box").hidden = !model.gsd;
  element("gsd").placeholder = model.gsd ?? "";
}

/** Make an element with some properties and children. */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Make an entry of a legend: a swatch, a name and, if it is known, a share of the area. */
export function legendEntry({ name, colour, share }) {
  const svg = "http://www.w3.org/2000/svg";
  const swatch = document.createElementNS(svg, "svg");
  for (const [key, value] of Object.entries({ width: 18, height: 18, "aria-hidden": "true" }))
    swatch.setAttribute(key, value);
  const square = document.createElementNS(svg, "rect");
  for (const [key, value] of Object.entries({ width: "100%", height: "100%", fill: colour }))
    square.setAttribute(key, value);
  swatch.append(square);
  const entry = make("li", {}, swatch, make("span", { textContent: name }));
  if (share != null) entry.append(make("span", { className: "share", textContent: percent(share) }));
  return entry;
}

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}
