// Drawing: logits become colours and confidence, as in inference/drawing.py; colours become images.

/** What is drawn of an image: the palette's number and the confidence in percent of each pixel. */
export class Drawing {
  constructor(model, height, width, alpha) {
    Object.assign(this, { model, height, width, alpha });
    this.owners = model.classes.flatMap(({ colours }, number) => colours.map(() => number));
    this.colours = new Uint8Array(height * width);
    this.confidence = new Uint8Array(height * width);
  }

  /** Draw some rows from their logits (colours, rows, width): each pixel's likeliest colour. */
  add(logits, first, last) {
    const size = (last - first) * this.width;
    const [colours, best] = [this.colours.subarray(first * this.width, last * this.width), logits.slice(0, size)];
    for (let colour = 1; colour < this.owners.length; colour += 1) {
      const plane = logits.subarray(colour * size, (colour + 1) * size);
      for (let at = 0; at < size; at += 1) {
        if (plane[at] > best[at]) {
          best[at] = plane[at];
          colours[at] = colour;
        }
      }
    }
    const total = new Float32Array(size);
    for (let start = 0, end = 0; start < this.owners.length; start = end) {
      const ofClass = logits.slice(start * size, (start + 1) * size);
      for (end = start + 1; this.owners[end] === this.owners[start]; end += 1) {
        const plane = logits.subarray(end * size, (end + 1) * size);
        for (let at = 0; at < size; at += 1) if (plane[at] > ofClass[at]) ofClass[at] = plane[at];
      }
      for (let at = 0; at < size; at += 1) total[at] += Math.exp((ofClass[at] - best[at]) / this.model.temperature);
    }
    for (let at = 0; at < size; at += 1) this.confidence[first * this.width + at] = Math.round(100 / total[at]);
  }

  /** Return the classes with their colour and their share of the area, the largest first. */
  shares(colors) {
    const counts = new Array(this.model.classes.length).fill(0);
    for (let at = 0; at < this.colours.length; at += 1) {
      if (!this.alpha || this.alpha[at]) counts[this.owners[this.colours[at]]] += 1;
    }
    const total = counts.reduce((sum, count) => sum + count, 0) || 1;
    const table = this.#table(colors, true);
    return this.model.classes
      .map(({ name }, number) => {
        const [red, green, blue] = table[this.owners.indexOf(number)];
        const colour = `#${[red, green, blue].map((level) => level.toString(16).padStart(2, "0")).join("")}`;
        return { name, colour, share: counts[number] / total };
      })
      .sort((one, other) => other.share - one.share);
  }

  /** Return the map ("image"), its classes or its confidence as a PNG. */
  async png(product, colors) {
    const image = new ImageData(this.width, this.height);
    const table = this.#table(colors, product === "classes");
    for (let at = 0, to = 0; at < this.colours.length; at += 1, to += 4) {
      const grey = Math.round(this.confidence[at] * 2.55);
      const [red, green, blue] = product === "confidence" ? [grey, grey, grey] : table[this.colours[at]];
      image.data[to] = red;
      image.data[to + 1] = green;
      image.data[to + 2] = blue;
      image.data[to + 3] = this.alpha ? this.alpha[at] : 255;
    }
    const canvas = new OffscreenCanvas(this.width, this.height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }

  /** Return what each of the network's colours is drawn in; `flat`: the first colour of its class. */
  #table(colors, flat) {
    const classes = colors ? this.model.colors[colors] : this.model.classes.map(({ colours }) => colours);
    return this.model.classes.flatMap(({ colours }, number) =>
      colours.map((_, shade) => classes[number][flat || classes[number].length !== colours.length ? 0 : shade]),
    );
  }
}
