// Before and after, on top of each other, at any zoom.

import { element } from "./api.js";

const STEPS = [0.125, 0.25, 0.5, 1, 2, 3, 4, 6, 8];

export class Viewer {
  #size = [1, 1];
  #zoom = null; // null: as large as fits

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

  /** Show two images; returns their width and height. */
  async show(before, after) {
    const images = [element("before"), element("after")];
    images[0].src = before ?? after; // what the browser cannot show has its map on both sides
    images[1].src = after;
    await Promise.all(images.map((image) => image.decode()));
    this.#size = [images[1].naturalWidth, images[1].naturalHeight];
    this.#visible(true);
    element("slider").value = 50;
    this.#set(null);
    return this.#size;
  }

  /** Say that there is nothing that a browser could show. */
  showNothing() {
    this.#visible(false);
    return null;
  }

  #visible(there) {
    element("slider").hidden = !there;
    element("no-view").hidden = there;
    for (const part of document.querySelectorAll(".zoom, .view .chip")) part.hidden = !there;
  }

  #fit() {
    const room = element("result").parentElement.clientWidth - 2;
    const height = Math.min(innerHeight * 0.68, 800);
    return Math.min(room / this.#size[0], height / this.#size[1], 4);
  }

  #step(direction) {
    const now = this.#zoom ?? this.#fit();
    const next = direction > 0 ? STEPS.find((step) => step > now * 1.01) : STEPS.findLast((step) => step < now * 0.99);
    if (next) this.#set(next);
  }

  #set(zoom) {
    const pan = element("pan");
    const middle = [(pan.scrollLeft + pan.clientWidth / 2) / pan.scrollWidth, (pan.scrollTop + pan.clientHeight / 2) / pan.scrollHeight];
    this.#zoom = zoom;
    this.#apply();
    pan.scrollLeft = middle[0] * pan.scrollWidth - pan.clientWidth / 2;
    pan.scrollTop = middle[1] * pan.scrollHeight - pan.clientHeight / 2;
  }

  #apply() {
    const zoom = this.#zoom ?? this.#fit();
    const slider = element("slider");
    slider.style.width = `${Math.round(this.#size[0] * zoom)}px`;
    // Where there is something to pan, dragging the picture pans it, and only the handle moves the divider.
    slider.handle = String(this.#zoom !== null && zoom > this.#fit());
    element("pan").classList.toggle("large", zoom >= 3);
    element("zoom-level").textContent = `${Math.round(zoom * 100)} %`;
    element("zoom-in").disabled = zoom >= STEPS.at(-1);
    element("zoom-out").disabled = zoom <= STEPS[0];
  }
}
