// The source of maps of a page without a server: a worker of this page. It has the same exports as server.js.

import { texts } from "../texts.js";

Object.assign(texts, texts.inBrowser);

let worker;
let calls = new Map();
let number = 0;
let model;

/** Return what the page may offer: as `v1/models` of the service. */
export async function describe() {
  const answer = await fetch(new URL("model/model.json", document.baseURI)).catch(() => null);
  if (!answer?.ok) throw Object.assign(new Error(texts.modelMissing), { title: texts.offline });
  model = await answer.json();
  if (self === top) workOffline();
  const threads = crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency || 1) : 1;
  const card = {
    name: model.name,
    gsd: model.gsd,
    notes: model.notes,
    engine: texts.browserEngine(threads),
    colors: Object.keys(model.colors),
  };
  return {
    models: [card],
    live_maps: false,
    has_api: false,
    model_file: model.modelFile,
    takes: texts.takesHere(Math.round(model.maxPixels / 1e6)),
  };
}

/** An image that stays on this machine. */
export class SourceImage {
  #id = crypto.randomUUID?.() ?? String(Math.random());

  constructor(file) {
    this.file = file;
  }

  async open(signal) {
    Object.assign(this, await ask("read", this.#source(), { signal }), { kind: "picture" });
  }

  /** Return the photo for the page to show, if it is not the file itself. */
  async preview() {
    return this.isHalf ? leftHalf(this.file) : null;
  }

  /** Draw the map; returns {blob, summary, model}. */
  async draw({ gsd, colors }, { signal, progress }) {
    progress(texts.loadingModel);
    const report = (done, total) =>
      progress(
        total > 1 || done ? texts.tiles(done, total) : texts.translating,
        total > 1 ? done : 0,
        total > 1 ? total : 0,
      );
    const { blob, classes } = await ask(
      "draw",
      { ...this.#source(), gsd: Number(gsd) || null, colors: colors || null },
      { signal, progress: report },
    );
    if (self !== top) workOffline();
    return { blob, model: model.name, summary: { classes, products: ["image", "classes", "confidence"] } };
  }

  /** Return the map's classes or confidence, as a PNG. */
  product(product, { gsd, colors }) {
    return ask("product", { ...this.#source(), gsd: Number(gsd) || null, colors: colors || null, product });
  }

  /** Return the map at another scale, for a thumbnail. */
  async thumbnail(query) {
    return (await this.draw(query, { progress: () => {} })).blob;
  }

  #source() {
    return { id: this.#id, file: this.file, maxPixels: model.maxPixels, classes: model.classes };
  }
}

/** Ask the worker; where the signal aborts, the worker is ended in the middle of its work. */
function ask(action, message, { signal, progress } = {}) {
  signal?.throwIfAborted();
  worker ??= start();
  number += 1;
  const call = number;
  return new Promise((resolve, reject) => {
    calls.set(call, { resolve, reject, progress });
    signal?.addEventListener("abort", () => calls.has(call) && stop(new DOMException("aborted", "AbortError")));
    worker.postMessage({ call, action, message });
  });
}

function start() {
  const made = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  made.addEventListener("message", ({ data }) => {
    const waiting = calls.get(data.call);
    if (!waiting) return;
    if (data.total) {
      waiting.progress?.(data.done, data.total);
      return;
    }
    calls.delete(data.call);
    if (data.title) waiting.reject(Object.assign(new Error(data.detail), { title: data.title }));
    else waiting.resolve(data.result);
  });
  made.addEventListener("error", (event) =>
    stop(Object.assign(new Error(event.message || texts.modelMissing), { title: texts.offline })),
  );
  return made;
}

function stop(error) {
  worker?.terminate();
  worker = undefined;
  const waiting = calls;
  calls = new Map();
  for (const { reject } of waiting.values()) reject(error);
}

async function leftHalf(file) {
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(bitmap.height, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Keep the page and its model for visits without a network, where the browser allows it. */
function workOffline() {
  navigator.serviceWorker?.register("service-worker.js").catch(() => {});
}
