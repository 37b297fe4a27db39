// Shows images at any zoom: two with a divider, or a single one.

import { element } from "./api.js";

const STEPS = [0.125, 0.25, 0.5, 1, 2, 3, 4, 6, 8];

export class Viewer {
  #size = [1, 1];
  #zoom = null; // null: as large as fits
  #asked = 0; // times that something was to be shown: only the last is

  constructor() {
    element("zoom-in").addEventListener("click", () => this.#step(1));
    element("zoom-out").addEventListener("click", () => this.#step(-1));
    element("zoom-fit").addEventListener("click", () => this.#set(null));
    element("pan").addEventListener("keydown", (event) => {
      if (event.key === "+" || event.key === "=") this.#step(1);
      else if (event.key === "-") this.#step(-1);
      else if (event.key === "0") this.#set(null);
      else return;
      event.preventDefault();
    });
    element("pan").addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.#step(event.deltaY < 0 ? 1 : -1);
      },
      { passive: false },
    );
    new ResizeObserver(() => this.#zoom === null && this.#apply()).observe(element("result").parentElement);
  }

  /** Show two images with a divider. */
  async compare(before, after) {
    const images = [element("before"), element("after")];
    images[0].src = before ?? after; // an image that the browser cannot show
    images[1].src = after;
    if (await this.#decoded(images)) this.#show("slider", images[1]);
  }

  /** Show a single image. */
  async single(url, alt) {
    const image = element("single");
    image.src = url;
    image.alt = alt;
    if (await this.#decoded([image])) this.#show("single", image);
  }

  /** Say that the map is too large for the browser. */
  nothing() {
    this.#asked += 1;
    this.#show("no-view", null);
  }

  /** Wait for images; false if something else is to be shown by then, which may end their decoding. */
  async #decoded(images) {
    this.#asked += 1;
    const mine = this.#asked;
    try {
      await Promise.all(images.map((image) => image.decode()));
    } catch (error) {
      if (mine === this.#asked) throw error;
    }
    return mine === this.#asked;
  }

  #show(part, image) {
    for (const id of ["slider", "single", "no-view"]) element(id).hidden = id !== part;
    for (const one of document.querySelectorAll(".zoom")) one.hidden = !image;
    for (const one of document.querySelectorAll(".view .chip")) one.hidden = part !== "slider";
    if (!image) return;
    const size = [image.naturalWidth, image.naturalHeight];
    const same = String(size) === String(this.#size);
    this.#size = size;
    this.#set(same ? this.#zoom : null);
  }

  #fit() {
    const room = element("result").parentElement.clientWidth - 2;
    const height = Math.min(innerHeight * 0.62, 800);
    return Math.min(room / this.#size[0], height / this.#size[1], 4);
  }

  #step(direction) {
    const now = this.#zoom ?? this.#fit();
    const next = direction > 0 ? STEPS.find((step) => step > now * 1.01) : STEPS.findLast((step) => step < now * 0.99);
    if (next) this.#set(next);
  }

  #set(zoom) {
    const pan = element("pan");
    const middle = [
      (pan.scrollLeft + pan.clientWidth / 2) / pan.scrollWidth,
      (pan.scrollTop + pan.clientHeight / 2) / pan.scrollHeight,
    ];
    this.#zoom = zoom;
    this.#apply();
    pan.scrollLeft = middle[0] * pan.scrollWidth - pan.clientWidth / 2;
    pan.scrollTop = middle[1] * pan.scrollHeight - pan.clientHeight / 2;
  }

  #apply() {
    const zoom = this.#zoom ?? this.#fit();
    const slider = element("slider");
    for (const part of [slider, element("single")]) part.style.width = `${Math.round(this.#size[0] * zoom)}px`;
    // If the image can be panned, dragging pans it, and only the handle moves the divider.
    slider.handle = String(this.#zoom !== null && zoom > this.#fit());
    element("pan").classList.toggle("large", zoom >= 3);
    element("zoom-level").textContent = `${Math.round(zoom * 100)} %`;
    element("zoom-in").disabled = zoom >= STEPS.at(-1);
    element("zoom-out").disabled = zoom <= STEPS[0];
  }
}
