// The live map: a raster, what a model makes of it above it, and the divider between them.

import { ask, complain, element } from "./api.js";
import { chooseKind, offerCopies, showLegend, showList } from "./map-panel.js";
import { FetchedTiles } from "./map-tiles.js";
import { make } from "./model.js";
import { fillTexts, texts } from "./texts.js";

fillTexts();
document.title = texts.mapTitle;

const map = L.map("map", { zoomSnap: 1, attributionControl: false });
map.zoomControl.setPosition("topleft");
const credits = L.control.attribution({ prefix: false, position: "bottomleft" }).addAttribution(texts.guess).addTo(map);
L.control.scale({ imperial: false, position: "bottomleft" }).addTo(map);
map.createPane("generated").style.zIndex = 250;
map.setView([0, 0], 2);

let service; // what /v1/models says
let rasters = []; // those that can be shown
let opened; // { name, kind, minzoom }
let layers = []; // the imagery, and what is drawn above it
let outlines; // rectangles around the rasters
let openings = 0; // times that a layer was to be shown: only the last is

/** Show a raster and a layer of it; `place` is where, or undefined for all of it. */
async function open(name, kind, place) {
  openings += 1;
  const mine = openings;
  layers.forEach((layer) => layer.remove());
  layers = [];
  element("alert").hidden = true;
  try {
    const raster = rasters.find((one) => one.name === name) ?? rasters[0];
    const shown = raster.layers.includes(kind) ? kind : raster.layers[0];
    const [imagery, above] = await Promise.all(["imagery", shown].map((one) => describe(raster.name, one)));
    if (mine !== openings) return;
    opened = { name: raster.name, kind: shown, minzoom: above.minzoom };
    const [west, south, east, north] = raster.bounds;
    const bounds = L.latLngBounds([south, west], [north, east]);
    // The service enlarges tiles itself: the browser would leave hairlines between them.
    const options = { bounds, maxZoom: Math.min(24, imagery.maxzoom + 2), noWrap: true };
    map.setMaxZoom(options.maxZoom);
    layers = [new FetchedTiles(imagery.address, options)];
    if (shown !== "imagery") {
      const pane = { pane: "generated", minZoom: above.minzoom, updateWhenIdle: true, keepBuffer: 1 };
      layers.push(new FetchedTiles(above.address, { ...options, ...pane, progress: true }));
    }
    list();
    chooseKind(raster.layers, opened.kind, (other) => open(opened.name, other, here()));
    showLegend(opened.kind, chosenModel().classes);
    map.invalidateSize(); // on a phone the panel takes from its height
    if (place) map.setView([place.lat, place.lon], place.zoom, { animate: false });
    else {
      map.fitBounds(bounds, { animate: false, paddingBottomRight: besidePanel() });
      if (map.getZoom() < above.minzoom) map.setView(bounds.getCenter(), above.minzoom, { animate: false });
      element("divide").value = Math.round((100 * map.latLngToContainerPoint(bounds.getCenter()).x) / map.getSize().x);
    }
    layers.forEach((layer) => layer.on("loading load progress", working).addTo(map));
    element("xyz").value = above.tiles[0];
    element("wmts").value = String(new URL("wmts?service=WMTS&request=GetCapabilities", document.baseURI));
    element("summary").textContent = "";
    dim();
    divide();
    remember();
  } catch (error) {
    if (mine === openings) complain(error);
  }
}

/** TileJSON of a layer, and the address of its tiles relative to the page, which a proxy cannot get wrong. */
async function describe(name, kind) {
  const query = service.models.length > 1 ? `?model=${encodeURIComponent(element("model").value)}` : "";
  const layer = `rasters/${encodeURIComponent(kind === "map" ? name : `${name}:${kind}`)}`;
  const described = await (await ask(`${layer}/tilejson.json${query}`)).json();
  return { ...described, address: `${layer}/tiles/{z}/{x}/{y}.png${query}` };
}

/** What the panel covers of the map; on a narrow screen it lies below it. */
function besidePanel() {
  const panel = element("panel");
  return getComputedStyle(panel).position === "absolute" ? [panel.clientWidth + 32, 0] : [0, 0];
}

function list() {
  showList(rasters, opened?.name, (name) => open(name, opened?.kind));
}

function chosenModel() {
  return service.models.find(({ name }) => name === element("model").value) ?? service.models[0];
}

function working() {
  const waiting = layers.reduce((sum, layer) => sum + layer.waiting, 0);
  const asked = layers.reduce((sum, layer) => sum + layer.asked, 0);
  element("working").hidden = waiting === 0;
  element("progress").value = asked ? (asked - waiting) / asked : 0;
  element("count").textContent = texts.tilesDone(asked - waiting, asked);
}

function hint() {
  if (opened) element("summary").textContent = map.getZoom() < opened.minzoom ? texts.zoomForMap : "";
}

function dim() {
  layers[1]?.setOpacity(element("opacity").value / 100);
}

/** Show the generated map right of the divider only. */
function divide() {
  const side = element("side").checked && layers.length > 1;
  element("swipe").hidden = !side;
  element("opacity").disabled = layers.length < 2;
  element("side").disabled = layers.length < 2;
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

/** Where the map is: part of the permalink `#zoom/latitude/longitude/raster/layer/model`. */
function here() {
  const { lat, lng } = map.getCenter();
  return { zoom: map.getZoom(), lat, lon: lng };
}

function remember() {
  if (!opened) return;
  const { zoom, lat, lon } = here();
  const names = [opened.name, opened.kind, ...(service.models.length > 1 ? [element("model").value] : [])];
  const hash = `#${zoom}/${lat.toFixed(5)}/${lon.toFixed(5)}/${names.map(encodeURIComponent).join("/")}`;
  history.replaceState(null, "", hash);
  element("link").value = location.href;
}

/** Open what the address names; without it, the first raster. */
async function goToAddress() {
  if (!rasters.length) return; // once they are listed
  const [zoom, lat, lon, name, kind, model] = location.hash.slice(1).split("/").map(decodeURIComponent);
  if (service.models.some((one) => one.name === model)) element("model").value = model;
  const known = rasters.some((one) => one.name === name);
  const place = { zoom: Number(zoom), lat: Number(lat), lon: Number(lon) };
  const valid = known && Object.values(place).every(Number.isFinite) && Math.abs(place.lat) < 86;
  await open(known ? name : rasters[0].name, kind ?? "map", valid ? place : undefined);
  if (name && !known) complain({ title: texts.rasterGone, message: texts.rasterGoneDetail(name) });
}

function outline() {
  outlines = L.featureGroup(
    rasters.map(({ name, bounds: [west, south, east, north] }) =>
      L.rectangle(
        [
          [south, west],
          [north, east],
        ],
        { className: "outline", fill: false, keyboard: false },
      )
        .bindTooltip(name)
        .on("click", () => name !== opened?.name && open(name, opened?.kind)),
    ),
  );
  outlines.addTo(map);
}

function addBaseMap({ url, attribution }) {
  const words = make("span", { textContent: attribution }).innerHTML; // no markup of the operator's becomes ours
  const base = L.tileLayer(url, { attribution: words, maxZoom: 24, maxNativeZoom: 19, referrerPolicy: "origin" });
  element("base-pick").hidden = false;
  element("base").addEventListener("change", ({ target }) => (target.checked ? base.addTo(map) : base.remove()));
  base.addTo(map);
  credits.addTo(map);
}

function nothing(words) {
  element("summary").textContent = words;
  for (const id of ["opacity", "side", "copy", "copy-wmts", "copy-link"]) element(id).disabled = true;
  for (const id of ["pick", "kinds", "legend"]) element(id).hidden = true;
}

map.on("move zoom resize viewreset", divide);
map.on("moveend", remember);
map.on("zoomend", hint);
window.addEventListener("hashchange", goToAddress);
element("divide").addEventListener("input", divide);
element("side").addEventListener("change", divide);
element("opacity").addEventListener("input", dim);
element("find").addEventListener("input", list);
element("model").addEventListener("change", () => opened && open(opened.name, opened.kind, here()));
offerCopies();

try {
  service = await (await ask("v1/models")).json();
  element("model").replaceChildren(...service.models.map(({ name }) => new Option(name, name)));
  element("model-pick").hidden = service.models.length < 2;
  if (service.base_map) addBaseMap(service.base_map);
  if (service.live_maps) {
    const found = await (await ask("rasters")).json();
    rasters = found.filter((raster) => !raster.problem);
    const bad = found.filter((raster) => raster.problem).map(({ problem }) => `${problem}.`);
    if (rasters.length) {
      if (rasters.length > 1) outline();
      await goToAddress();
    } else nothing(texts.noRaster);
    if (bad.length)
      element("summary").textContent = bad.map((words) => words.charAt(0).toUpperCase() + words.slice(1)).join(" ");
  } else {
    nothing(texts.noRasters);
  }
} catch (error) {
  complain(error);
}
