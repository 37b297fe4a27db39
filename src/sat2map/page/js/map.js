// The live map: imagery, the generated map above it, and the divider between them.

import { ask, askPatiently, complain, element } from "./api.js";
import { fillTexts, texts } from "./texts.js";

fillTexts();
document.title = texts.mapTitle;

/** Tiles by fetch, so that they carry the API key, wait for a busy service, and are given up when out of sight. */
const FetchedTiles = L.GridLayer.extend({
  initialize(address, options) {
    L.GridLayer.prototype.initialize.call(this, options);
    this._address = address;
    this.on("tileunload", ({ tile }) => {
      tile.stop?.abort();
      if (tile.src) URL.revokeObjectURL(tile.src);
    });
  },
  createTile(coords, done) {
    const tile = document.createElement("img");
    tile.alt = "";
    tile.stop = new AbortController();
    askPatiently(L.Util.template(this._address, coords), { signal: tile.stop.signal }, 10)
      .then((answer) => answer.blob())
      .then((blob) => {
        tile.onload = () => done(null, tile);
        tile.src = URL.createObjectURL(blob);
      })
      .catch((error) => {
        if (error.name !== "AbortError") complain(error);
        done(error, tile);
      });
    return tile;
  },
});

const map = L.map("map", { zoomSnap: 1, attributionControl: false });
map.zoomControl.setPosition("topleft");
L.control.attribution({ prefix: false, position: "bottomleft" }).addAttribution(texts.guess).addTo(map);
L.control.scale({ imperial: false, position: "bottomleft" }).addTo(map);
map.createPane("generated").style.zIndex = 250;
map.setView([0, 0], 2);

let layers = [];

async function open(name) {
  layers.forEach((layer) => layer.remove());
  layers = [];
  element("alert").hidden = true;
  try {
    const model = element("model").value;
    const query = element("model").length > 1 ? `?model=${encodeURIComponent(model)}` : "";
    const base = `rasters/${encodeURIComponent(name)}`;
    const [imagery, generated] = await Promise.all(
      [`${base}/imagery/tilejson.json`, `${base}/tilejson.json${query}`].map(async (address) => (await ask(address)).json()),
    );
    const [west, south, east, north] = imagery.bounds;
    const bounds = L.latLngBounds([south, west], [north, east]);
    // The service enlarges tiles itself: the browser would leave hairlines between them.
    const options = { bounds, maxZoom: Math.min(24, imagery.maxzoom + 2), noWrap: true };
    map.setMaxZoom(options.maxZoom);
    layers = [
      new FetchedTiles(`${base}/imagery/{z}/{x}/{y}.png`, options),
      new FetchedTiles(`${base}/tiles/{z}/{x}/{y}.png${query}`, {
        ...options,
        pane: "generated",
        minZoom: generated.minzoom,
        updateWhenIdle: true,
        keepBuffer: 1,
      }),
    ];
    map.fitBounds(bounds, { animate: false, paddingBottomRight: besidePanel() });
    if (map.getZoom() < generated.minzoom) map.setView(bounds.getCenter(), generated.minzoom, { animate: false });
    element("divide").value = Math.round((100 * map.latLngToContainerPoint(bounds.getCenter()).x) / map.getSize().x);
    layers.forEach((layer) => layer.on("loading load", working).addTo(map));
    element("xyz").value = generated.tiles[0];
    element("wmts").value = String(new URL("wmts?service=WMTS&request=GetCapabilities", document.baseURI));
    dim();
    divide();
    hint(generated);
    map.off("zoomend").on("zoomend", () => hint(generated));
  } catch (error) {
    complain(error);
  }
}

/** What the panel covers of the map; on a narrow screen it lies below it. */
function besidePanel() {
  const panel = element("panel");
  return getComputedStyle(panel).position === "absolute" ? [panel.clientWidth + 32, 0] : [0, 0];
}

function working() {
  element("working").hidden = !layers.some((layer) => layer.isLoading());
}

function hint(generated) {
  element("summary").textContent = map.getZoom() < generated.minzoom ? texts.zoomForMap : "";
}

function dim() {
  layers[1]?.setOpacity(element("opacity").value / 100);
}

/** Show the generated map right of the divider only. */
function divide() {
  const side = element("side").checked && layers.length > 0;
  element("swipe").hidden = !side;
  const pane = map.getPane("generated");
  if (!side) {
    pane.style.clipPath = "";
    return;
  }
  const size = map.getSize();
  const share = element("divide").value / 100;
  const [from, to] = [map.containerPointToLayerPoint([size.x * share, 0]), map.containerPointToLayerPoint(size)];
  pane.style.clipPath = `polygon(${from.x}px ${from.y}px, ${to.x}px ${from.y}px, ${to.x}px ${to.y}px, ${from.x}px ${to.y}px)`;
  element("line").style.left = `${share * 100}%`;
  for (const chip of document.querySelectorAll(".swipe .chip")) chip.style.left = `${share * 100}%`;
}

map.on("move zoom resize viewreset", divide);
element("divide").addEventListener("input", divide);
element("side").addEventListener("change", divide);
element("opacity").addEventListener("input", dim);
element("raster").addEventListener("change", (event) => open(event.target.value));
element("model").addEventListener("change", () => open(element("raster").value));
for (const [button, field] of [["copy", "xyz"], ["copy-wmts", "wmts"]]) {
  element(button).addEventListener("click", async () => {
    element(field).select();
    try {
      await navigator.clipboard.writeText(element(field).value);
      element("summary").textContent = texts.qgisHelp;
    } catch {
      element("summary").textContent = texts.copyByKey;
    }
  });
}

function nothing(words) {
  element("summary").textContent = words;
  for (const id of ["raster", "opacity", "side", "copy", "copy-wmts"]) element(id).disabled = true;
}

try {
  const service = await (await ask("v1/models")).json();
  element("model").replaceChildren(...service.models.map(({ name }) => new Option(name, name)));
  element("model-pick").hidden = service.models.length < 2;
  if (service.live_maps) {
    const found = await (await ask("rasters")).json();
    const good = found.filter((raster) => !raster.problem);
    element("raster").replaceChildren(...good.map(({ name }) => new Option(name, name)));
    const bad = found.filter((raster) => raster.problem).map(({ problem }) => `${problem}.`);
    if (good.length) await open(good[0].name);
    else nothing(texts.noRaster);
    if (bad.length) element("summary").textContent = bad.map((words) => words.charAt(0).toUpperCase() + words.slice(1)).join(" ");
  } else {
    nothing(texts.noRasters);
  }
} catch (error) {
  complain(error);
}
