// The model card, and what the service takes.

import { ask, element } from "./api.js";

/** Show the models; returns what `v1/models` says. */
export async function showModels() {
  const service = await (await ask("v1/models")).json();
  element("to-map").hidden = !service.live_maps;
  const pick = element("model");
  pick.replaceChildren(...service.models.map(({ name }) => new Option(name, name)));
  element("model-pick").hidden = service.models.length < 2;
  const show = () => showCard(service.models.find(({ name }) => name === pick.value), service);
  pick.addEventListener("change", show);
  show();
  return service;
}

function showCard(model, service) {
  const metres = model.gsd;
  const facts = {
    Name: service.models.length < 2 && model.name, // else the choice above tells
    "Expects": metres ? `about ${metres} m a pixel, seen from above` : "pictures from above, like those it was trained on",
    Network: model.architecture,
    "Trained at": `${model.image_size ? `${model.image_size} × ${model.image_size} px` : "native pixels"}; takes any size`,
    "Runs on": model.engine,
    Quality: quality(model.scores),
    Notes: model.notes,
  };
  element("facts").replaceChildren(
    ...Object.entries(facts)
      .filter(([, value]) => value)
      .map(([name, value]) => {
        const group = document.createElement("div");
        group.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
        return group;
      }),
  );
  element("gsd-box").hidden = !metres;
  element("gsd").placeholder = metres ?? "";
  element("legend-box").hidden = !model.classes.length;
  element("legend").replaceChildren(...model.classes.map(legendEntry));
  const million = (pixels) => `${Math.round(pixels / 1e6)} million pixels`;
  element("takes").textContent =
    `PNG, JPEG, WebP or TIFF, up to ${bytes(service.job_body_bytes)}; above ${million(service.pixels)} it takes a while.` +
    (metres ? ` Best where a pixel is about ${metres} m of ground.` : "");
}

function bytes(count) {
  const megabytes = Math.round(count / 2 ** 20);
  return megabytes < 1024 ? `${megabytes} MB` : `${Math.round(megabytes / 102.4) / 10} GB`;
}

function quality(scores) {
  const parts = [];
  if (scores.mean_iou != null) parts.push(`mean class IoU ${scores.mean_iou.toFixed(2)}`);
  if (scores.road_f1 != null) parts.push(`road F1 ${scores.road_f1.toFixed(2)}`);
  return parts.length ? `${parts.join(", ")}, on pictures it had not seen` : "";
}

function legendEntry({ name, colour }) {
  const entry = document.createElement("li");
  const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  swatch.setAttribute("width", 18);
  swatch.setAttribute("height", 18);
  swatch.setAttribute("aria-hidden", "true");
  const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  square.setAttribute("width", "100%");
  square.setAttribute("height", "100%");
  square.setAttribute("fill", colour);
  swatch.append(square);
  entry.append(swatch, name);
  return entry;
}
