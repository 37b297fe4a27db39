// Maps of the service: an image is uploaded once, and then drawn at any scale, in any colours.

import { ask, askPatiently, follow, ProblemError, pause } from "./api.js";
import { searchOf } from "./commands.js";
import { texts } from "./texts.js";

const PNG = { Accept: "image/png" };
let service;

/** Return the models and limits of the service, and a sentence on what it takes. */
export async function describe() {
  service = await (await ask("v1/models")).json();
  const takes = texts.takes(bytes(service.job_body_bytes), Math.round(service.image_pixels / 1e6));
  return { ...service, has_api: true, takes };
}

/** An image on the service; it is uploaded again by itself when the service has deleted it. */
export class SourceImage {
  #id;

  constructor(file) {
    this.file = file;
  }

  async open(signal) {
    if (this.file.size > service.job_body_bytes) {
      throw new ProblemError({
        ...texts.fileTooLarge(bytes(this.file.size), bytes(service.job_body_bytes)),
        status: 413,
      });
    }
    const answer = await askPatiently("v1/images", { method: "POST", body: this.file, signal });
    const { id, kind, width, height } = await answer.json();
    this.#id = id;
    Object.assign(this, { kind, width, height });
  }

  /** Return an image to show instead of the file, as of a TIFF; null: the file will do; undefined: there is none. */
  async preview(name, signal) {
    const isTiff = /tiff?$/i.test(this.file.type) || /\.tiff?$/i.test(name);
    const mayBeAPair = this.width === 2 * this.height; // of which the service draws the photo only
    if (!isTiff && !mayBeAPair) return null;
    if (this.width * this.height > service.pixels) return isTiff ? undefined : null;
    return (await this.#get("preview", {}, { signal })).blob();
  }

  /** Draw the map, or a large one as a job; returns {blob, summary, model, isTiff}. */
  async draw(query, { signal, progress }) {
    const gsd = service.models.find(({ name }) => name === query.model)?.gsd ?? service.models[0].gsd;
    const factor = query.gsd && gsd && this.kind !== "raster" ? query.gsd / gsd : 1;
    const pixels = this.width * this.height * Math.max(1, factor ** 2);
    progress(texts.translating);
    if (pixels > service.image_pixels) {
      delete query.colors; // a job draws in the model's own
      const made = await this.#drawAsJob(query, progress, signal);
      return { ...made, summary: null, isJob: true, isTiff: this.kind === "raster" };
    }
    const answer = await this.#get("map", query, { headers: PNG, signal });
    const summary = await (await this.#get("summary", query, { signal })).json();
    return { blob: await answer.blob(), model: answer.headers.get("Sat2map-Model"), summary };
  }

  /** Return the classes, the confidence, or the map as a GeoTIFF ("tiff"). */
  async product(product, query) {
    const wanted = product === "tiff" ? [{}, { Accept: "image/tiff" }] : [{ product }, PNG];
    return (await this.#get("map", { ...query, ...wanted[0] }, { headers: wanted[1] })).blob();
  }

  /** Return the map at another scale, for a thumbnail. */
  async thumbnail(query) {
    return (await this.#get("map", query, { headers: PNG })).blob();
  }

  /** Ask for something of the image, such as "map" or "preview"; `query` is an object. */
  async #get(what, query = {}, options = {}) {
    for (let left = 1; ; left -= 1) {
      if (!this.#id) await this.open(options.signal);
      try {
        return await askPatiently(`v1/images/${this.#id}/${what}${searchOf(query)}`, options);
      } catch (error) {
        if (error.status !== 404 || left === 0) throw error;
        this.#id = undefined; // it has expired
      }
    }
  }

  /** Draw a large image as a job; `progress(words, done, total)` is called on the way. */
  async #drawAsJob(query, progress, signal) {
    if (!this.#id) await this.open(signal);
    // Not ended by the signal: only the answer names the job, which is then cancelled.
    const post = `v1/jobs${searchOf({ ...query, image: this.#id })}`;
    const answer = await askPatiently(post, { method: "POST" }, undefined, signal);
    let job = await answer.json();
    const address = `v1/jobs/${job.id}`;
    const drop = () => ask(address, { method: "DELETE" }).catch(() => {});
    signal.addEventListener("abort", drop);
    try {
      if (signal.aborted) drop();
      signal.throwIfAborted();
      while (!["done", "failed", "cancelled"].includes(job.state)) {
        for await (const { data } of follow(`${address}/events`, signal)) {
          job = data;
          if (job.tiles) progress(texts.tiles(job.tiles_done, job.tiles), job.tiles_done, job.tiles);
          else progress(job.state === "queued" ? texts.waiting : texts.preparing);
        }
        if (job.state === "queued" || job.state === "running") await pause(1500, signal); // the service restarts
      }
      if (job.state !== "done") {
        const title = job.error?.title ?? texts.cancelled;
        throw Object.assign(new Error(job.error?.detail ?? texts.cancelledDetail), { title });
      }
      const blob = await (await ask(`${address}/result`, { signal })).blob();
      return { blob, model: job.model, notes: [texts.jobLacks, ...job.notes] };
    } finally {
      signal.removeEventListener("abort", drop);
      if (!signal.aborted) drop();
    }
  }
}

function bytes(count) {
  const megabytes = Math.round(count / 2 ** 20);
  return megabytes < 1024 ? `${megabytes} MB` : `${Math.round(megabytes / 102.4) / 10} GB`;
}
