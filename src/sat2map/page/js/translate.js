// The page that translates one image: choosing it, waiting for it, comparing, downloading.

import { ask, askPatiently, complain, element, follow, pause } from "./api.js";
import { showModels } from "./model.js";
import { Viewer } from "./viewer.js";

const viewer = new Viewer();
let service = { body_bytes: Infinity, job_body_bytes: Infinity, pixels: Infinity, models: [] };
let running; // AbortController of what is under way
let current; // what is shown: { file, model, urls }

function show(part) {
  for (const id of ["busy", "result"]) element(id).hidden = id !== part;
  for (const id of ["lead", "drop", "examples"]) element(id).hidden = Boolean(part);
}

function say(words) {
  element("status").textContent = words;
}

async function start(file, name = file.name || "pasted image", field = element("gsd")) {
  if (field?.validity.valid === false) {
    home(); // where the field can be seen
    field.reportValidity();
    return;
  }
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  element("alert").hidden = true;
  forget();
  show("busy");
  tell("Reading the image");
  const started = performance.now();
  const urls = [];
  try {
    const looked = await look(file, urls, signal);
    const model = service.models.find((one) => one.name === element("model").value) ?? service.models[0];
    const gsd = model?.gsd && field?.value;
    const factor = gsd ? gsd / model.gsd : 1;
    const large = looked.tiff ? looked.large : !looked.size || factor * Math.max(...looked.size) > (model?.max_untiled_size ?? 1024);
    tell("Translating");
    const fields = Object.entries({ model: element("model").value, gsd }).filter(([, value]) => value);
    const query = fields.length ? `?${new URLSearchParams(fields)}` : "";
    const made = large ? await asJob(file, query, signal) : await atOnce(file, query, looked, signal);
    const map = URL.createObjectURL(made.blob);
    urls.push(map);
    current = { file, name, query, urls, gsd: looked.tiff ? "" : gsd, tiff: looked.tiff && !large };
    await display(looked.url, map, made, name, (performance.now() - started) / 1000);
  } catch (error) {
    urls.forEach((url) => URL.revokeObjectURL(url));
    if (signal.aborted) return;
    show();
    complain(error);
    element("choose").focus();
  }
}

/** Find out what the browser can show of the image. */
async function look(file, urls, signal) {
  const tiff = /tiff?$/i.test(file.type) || /\.tiff?$/i.test(file.name ?? "");
  let blob = file;
  if (tiff) { // browsers open none, so the service shows it, unless it is too large for that
    try {
      if (file.size > service.body_bytes) return { tiff, large: true };
      blob = await (await askPatiently("v1/preview", { method: "POST", body: file, signal })).blob();
    } catch (error) {
      if (error.status !== 413) throw error;
      return { tiff, large: true };
    }
  }
  const url = URL.createObjectURL(blob);
  urls.push(url);
  const size = await measure(url);
  if (size) {
    element("busy-image").src = url;
    element("busy-image").hidden = false;
  }
  return { tiff, url: size ? url : null, size };
}

async function measure(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  } catch {
    return null; // the service will say what is wrong with it
  }
}

async function atOnce(file, query, looked, signal) {
  const answer = await askPatiently(`v1/translate${query}`, { method: "POST", body: file, headers: { Accept: "image/png" }, signal });
  return { blob: await answer.blob(), type: "png", model: answer.headers.get("Sat2map-Model") };
}

/** Large images run as jobs, which tell how far they are. */
async function asJob(file, query, signal) {
  tell("Sending the image");
  let job = await (await askPatiently(`v1/jobs${query}`, { method: "POST", body: file, signal })).json();
  const address = `v1/jobs/${job.id}`;
  const drop = () => ask(address, { method: "DELETE" }).catch(() => {});
  signal.addEventListener("abort", drop);
  try {
    while (!["done", "failed", "cancelled"].includes(job.state)) {
      for await (const { data } of follow(`${address}/events`, signal)) {
        job = data;
        tell(progressWords(job), job.tiles_done, job.tiles);
      }
      if (job.state === "queued" || job.state === "running") await pause(1500, signal); // the service restarts
    }
    if (job.state !== "done") throw Object.assign(new Error(job.error?.detail ?? "The job was cancelled."), { title: job.error?.title ?? "Cancelled" });
    const blob = await (await ask(`${address}/result`, { signal })).blob();
    return { blob, type: job.kind === "raster" ? "tif" : "png", model: job.model };
  } finally {
    signal.removeEventListener("abort", drop);
    if (!signal.aborted) drop();
  }
}

function progressWords(job) {
  if (job.tiles) return `Translating: ${job.tiles_done} of ${job.tiles} tiles`;
  return job.state === "queued" ? "Waiting for its turn" : "Preparing the image";
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

async function display(before, after, made, name, seconds) {
  const stem = name.replace(/\.[^.]*$/, "") || "image";
  element("download").href = after;
  element("download").download = `${stem}-map.${made.type}`;
  element("download").textContent = made.type === "tif" ? "Download GeoTIFF" : "Download PNG";
  element("download-tiff").hidden = !current.tiff;
  element("name").textContent = name;
  show("result");
  const size = made.type === "png" ? await viewer.show(before, after) : viewer.showNothing();
  const time = seconds < 10 ? seconds.toFixed(1) : Math.round(seconds);
  element("summary").textContent = [`Translated in ${time} s`, size && `${size[0]} × ${size[1]} px`, current.gsd && `${current.gsd} m a pixel`, `model\u00a0${made.model}`].filter(Boolean).join(" · ");
  say(`The map is ready, after ${time} seconds.`);
  (size ? element("slider") : element("download")).focus({ preventScroll: true });
}

function forget() {
  current?.urls.forEach((url) => URL.revokeObjectURL(url));
  current = undefined;
  element("busy-image").hidden = true;
}

async function downloadTiff() {
  const button = element("download-tiff");
  button.disabled = true;
  try {
    const answer = await askPatiently(`v1/translate${current.query}`, { method: "POST", body: current.file, headers: { Accept: "image/tiff" } });
    const url = URL.createObjectURL(await answer.blob());
    const link = Object.assign(document.createElement("a"), { href: url, download: element("download").download.replace(/png$/, "tif") });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
  }
}

function home() {
  running?.abort();
  forget();
  element("alert").hidden = true;
  element("file").value = "";
  show();
  element("choose").focus();
}

element("choose").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", (event) => event.target.files[0] && start(event.target.files[0]));
element("again").addEventListener("click", home);
element("cancel").addEventListener("click", home);
element("download-tiff").addEventListener("click", downloadTiff);
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", async () => {
    try {
      const answer = await ask(`examples/${button.dataset.example}.png`);
      await start(await answer.blob(), `drawn town ${button.dataset.example}`, null); // at the model's scale already
    } catch (error) {
      complain(error);
    }
  });
}

addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  if (file) start(file, "pasted image");
});
let inside = 0;
addEventListener("dragenter", (event) => {
  event.preventDefault();
  inside += 1;
  element("drop").classList.add("over");
});
addEventListener("dragleave", () => {
  inside -= 1;
  if (inside <= 0) element("drop").classList.remove("over");
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  element("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) start(file);
});

try {
  service = await showModels();
} catch (error) {
  complain(error);
}
