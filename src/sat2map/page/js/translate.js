// The page that translates one image: choosing it, drawing it, changing its scale.

import { complain, element, sentence } from "./api.js";
import { fillExamples, takeFiles } from "./inputs.js";
import { make, showModels } from "./model.js";
import { ResultView } from "./result.js";
import { describe, SourceImage } from "./source.js";
import { fillTexts, texts } from "./texts.js";
import { Viewer } from "./viewer.js";

const FACTORS = [0.5, 0.71, 1.41, 2]; // neighbouring scales
const MAX_VISIT = 12; // results kept as thumbnails

fillTexts();
document.title = texts.title;
const view = new ResultView(new Viewer());
let service = { models: [] };
let described;
let running; // AbortController of what is being drawn
let current; // the image: { image, name, photo, gsd }
const visit = [];

function show(part) {
  for (const id of ["busy", "result"]) element(id).hidden = id !== part;
  for (const id of ["drop", "examples"]) element(id).hidden = Boolean(part);
  element("lead").classList.toggle("sr-only", Boolean(part)); // the page keeps its heading
  element("visit").hidden = !visit.length || part === "busy";
}

/** Open a file and draw it. */
async function start(file, name = file.name || texts.pasted, gsd = given(element("gsd"))) {
  if (gsd === null) return;
  const mine = { image: new SourceImage(file), name, gsd };
  await work(
    async (signal) => {
      tell(texts.reading);
      await known();
      await mine.image.open(signal);
      mine.photo = await preview(mine, signal);
      if (mine.photo) {
        element("busy-image").src = mine.photo;
        element("busy-image").hidden = false;
      }
      current = mine;
      await draw(signal);
    },
    () => start(file, name, gsd),
    () => show(),
  );
}

function startExample(number) {
  return work(
    async (signal) => {
      tell(texts.reading);
      const [answer] = await Promise.all([fetch(`examples/${number}.png`, { signal }), known()]);
      const file = await answer.blob();
      signal.throwIfAborted();
      await start(file, `${texts.exampleName(number)}.png`, model().gsd);
    },
    () => startExample(number),
    () => show(),
  );
}

/** Run something that can be cancelled; show its error with a way to repeat it. */
async function work(action, retry, back) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  element("alert").hidden = true;
  element("busy-image").hidden = true;
  show("busy");
  try {
    await action(signal);
  } catch (error) {
    if (signal.aborted) return;
    back();
    const temporary = error.status === 0 || error.status === 503 || error.status === 507;
    complain(error, temporary ? retry : undefined);
  }
}

/** Return the address of the photo to show; null if the browser cannot show it. */
async function preview({ image, name }, signal) {
  const blob = await image.preview(name, signal);
  if (blob === undefined) return null;
  const url = URL.createObjectURL(blob ?? image.file);
  const probe = make("img", { src: url });
  try {
    await probe.decode();
    return url;
  } catch {
    return null;
  }
}

function model() {
  return service.models.find(({ name }) => name === element("model").value) ?? service.models[0];
}

function queryOf({ gsd }) {
  const query = { gsd: gsd || "", colors: element("colors").value };
  if (service.models.length > 1) query.model = model().name;
  return query;
}

/** Draw the current image at its scale, and show the result. */
async function draw(signal) {
  const started = performance.now();
  const { image, name, photo, gsd } = current;
  const query = queryOf(current);
  const made = await image.draw(query, { signal, progress: tell });
  const isRaster = image.kind === "raster";
  const result = {
    name,
    query,
    summary: made.summary,
    tiff: isRaster && !made.isTiff,
    gsd: isRaster ? null : gsd,
    hasApi: service.has_api,
    isJob: made.isJob,
    modelFile: service.model_file,
    suffix: made.isTiff ? "tif" : "png",
    shown: !made.isTiff,
    image,
    photo,
    urls: { photo, map: URL.createObjectURL(made.blob) },
    load: async (product) => URL.createObjectURL(await image.product(product, query)),
  };
  const seconds = (performance.now() - started) / 1000;
  const time = seconds < 10 ? seconds.toFixed(1) : Math.round(seconds);
  const { width, height } = made.summary?.width ? made.summary : image;
  result.caption = texts.done(time, `${width} × ${height} px`, result.gsd, made.model);
  result.notes = image.isHalf ? [texts.isPair] : (made.notes ?? made.summary?.notes ?? []);
  remember(result);
  await display(result);
  element("status").textContent = texts.ready(time);
}

async function display(result) {
  show("result");
  element("summary").textContent = result.caption;
  const notes = result.notes.map((note) => note.replace(/the parameter 'gsd' takes .*/, texts.changeScale));
  element("notes").replaceChildren(...notes.map((note) => make("p", { textContent: sentence(note) })));
  element("scale-tool").hidden = result.image.kind === "raster" || !model().gsd;
  element("colors-box").hidden = !result.summary || element("colors").length < 2;
  setScale(result.gsd || model().gsd || 1);
  element("scales").hidden = true;
  element("wrong").hidden = !result.summary;
  await view.show(result);
  (result.shown ? element("view-side") : element("download")).focus({ preventScroll: true });
}

/** Draw the current image again, such as at another scale. */
async function redraw(change = {}) {
  const before = current;
  current = { ...current, ...change };
  const back = () => {
    current = before;
    show("result");
  };
  await work(draw, () => redraw(change), back);
}

function setScale(gsd) {
  const value = Number(gsd.toPrecision(3));
  element("scale").value = value;
  element("scale-range").value = Math.log10(value);
  element("scale-range").setAttribute("aria-valuetext", `${value} ${texts.scaleUnit}`);
}

/** Return the value of a number field; undefined if it is empty, null (and a message) if it is not valid. */
function given(field) {
  if (!field.validity.valid) {
    if (field.id === "gsd") home(); // where the field is
    field.reportValidity();
    return null;
  }
  return field.value ? Number(field.value) : undefined;
}

/** Offer the neighbouring scales as thumbnails. */
async function offerScales() {
  const base = current.gsd || model().gsd;
  const { image } = current;
  element("scales").hidden = false;
  const entries = FACTORS.map((factor) => {
    const gsd = Number((base * factor).toPrecision(2));
    const picture = make("img", { alt: texts.scaleAlt(gsd) });
    const button = make("button", { type: "button" }, picture, make("span", { textContent: texts.scaleOf(gsd) }));
    button.addEventListener("click", () => redraw({ gsd }));
    return { gsd, picture, item: make("li", {}, button) };
  });
  element("scale-list").replaceChildren(...entries.map(({ item }) => item));
  for (const { gsd, picture, item } of entries) {
    try {
      picture.src = URL.createObjectURL(await image.thumbnail(queryOf({ gsd })));
    } catch {
      item.remove(); // too small or too large at that scale
    }
    if (image !== current?.image) return;
  }
}

/** Keep a result as a thumbnail of this visit. */
function remember(result) {
  const origin = current;
  const image = make("img", {
    src: result.shown ? result.urls.map : (result.photo ?? ""),
    alt: texts.visitOf(result.name),
  });
  const label = result.gsd ? texts.scaleOf(result.gsd) : result.name;
  const button = make("button", { type: "button", title: result.name }, image, make("span", { textContent: label }));
  const item = make("li", {}, button);
  button.addEventListener("click", () => {
    running?.abort();
    current = origin;
    display(result).catch(complain);
  });
  visit.unshift({ item, result });
  for (const old of visit.splice(MAX_VISIT)) {
    for (const url of Object.values(old.result.urls)) if (url && url !== old.result.photo) URL.revokeObjectURL(url);
  }
  element("visit-list").replaceChildren(...visit.map((one) => one.item));
}

function tell(words, done, total) {
  element("busy-text").textContent = words;
  const bar = element("progress");
  if (total) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
}

/** Stop drawing, and go back to the last result of this image, or to the start. */
function cancel() {
  running.abort();
  if (current && visit.some(({ result }) => result.image === current.image)) show("result");
  else home();
}

function home() {
  running?.abort();
  current = undefined;
  element("alert").hidden = true;
  element("file").value = "";
  show();
  element("choose").focus();
}

function listen() {
  takeFiles(start);
  element("again").addEventListener("click", home);
  element("cancel").addEventListener("click", cancel);
  element("scale-range").addEventListener("input", (event) => setScale(10 ** event.target.value));
  element("scale").addEventListener(
    "change",
    () => element("scale").value > 0 && setScale(Number(element("scale").value)),
  );
  element("scale-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const gsd = given(element("scale"));
    if (gsd) redraw({ gsd });
  });
  element("wrong").addEventListener("click", offerScales);
  element("colors").addEventListener("change", () => redraw());
  element("model").addEventListener("change", () => {
    fillColors();
    if (current && !element("result").hidden) redraw();
  });
}

/** Wait for the models and limits, since an image may be chosen before they are here; ask again after a failure. */
function known() {
  described ??= describe().then(
    (description) => {
      service = description;
      if (!service.models.length) return;
      showModels(service);
      fillColors();
    },
    (error) => {
      described = undefined;
      throw error;
    },
  );
  return described;
}

function fillColors() {
  element("colors").replaceChildren(
    new Option(texts.colorsOwn, ""),
    ...(model()?.colors ?? []).map((name) => new Option(name, name)),
  );
}

fillExamples(startExample);
listen();
known().catch((error) => complain(error));
