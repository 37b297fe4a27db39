// Drawing an image: it is uploaded once, and then drawn at any scale, in any colours.

import { ask, askPatiently, follow, pause } from "./api.js";
import { texts } from "./texts.js";

/** An image on the service; it is uploaded again by itself when the service has deleted it. */
export class UploadedImage {
  #id;

  constructor(file) {
    this.file = file;
  }

  async upload(signal) {
    const answer = await askPatiently("v1/images", { method: "POST", body: this.file, signal });
    const { id, kind, width, height } = await answer.json();
    this.#id = id;
    Object.assign(this, { kind, width, height });
  }

  /** Ask for something of the image, such as "map" or "preview"; `query` is an object. */
  async get(what, query = {}, options = {}) {
    for (let left = 1; ; left -= 1) {
      if (!this.#id) await this.upload(options.signal);
      try {
        return await askPatiently(`v1/images/${this.#id}/${what}${search(query)}`, options);
      } catch (error) {
        if (error.status !== 404 || left === 0) throw error;
        this.#id = undefined; // it has expired
      }
    }
  }

  /** Draw a large image as a job; `progress(words, done, total)` is called on the way. */
  async drawAsJob(query, progress, signal) {
    if (!this.#id) await this.upload(signal);
    const answer = await askPatiently(`v1/jobs${search({ ...query, image: this.#id })}`, { method: "POST", signal });
    let job = await answer.json();
    const address = `v1/jobs/${job.id}`;
    const drop = () => ask(address, { method: "DELETE" }).catch(() => {});
    signal.addEventListener("abort", drop);
    try {
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
      return { blob, model: job.model };
    } finally {
      signal.removeEventListener("abort", drop);
      if (!signal.aborted) drop();
    }
  }
}

function search(query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
