// Resampling: of photos as Pillow does it, bit for bit, and of a network's outputs as inference/resample.py does.

const PRECISION = 22; // bits of Pillow's fixed-point weights

/** Resize RGBA or RGB bytes with Pillow's antialiased bicubic filter; returns RGB bytes (height, width, 3). */
export function resize(pixels, [height, width], [newHeight, newWidth]) {
  const bands = pixels.length / (height * width);
  let image = new Uint8ClampedArray(height * width * 3);
  for (let from = 0, to = 0; to < image.length; from += bands) {
    image[to++] = pixels[from];
    image[to++] = pixels[from + 1];
    image[to++] = pixels[from + 2];
  }
  if (newWidth !== width) image = alongRows(image, height, width, newWidth);
  if (newHeight !== height) image = alongColumns(image, height, newWidth, newHeight);
  return image;
}

function alongRows(image, height, width, size) {
  const result = new Uint8ClampedArray(height * size * 3);
  const filter = bicubic(width, size);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < size; column += 1) {
      const { first, weights } = filter[column];
      let [red, green, blue] = [1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)];
      let from = (row * width + first) * 3;
      for (let tap = 0; tap < weights.length; tap += 1) {
        const weight = weights[tap];
        red += image[from++] * weight;
        green += image[from++] * weight;
        blue += image[from++] * weight;
      }
      const to = (row * size + column) * 3;
      result[to] = red >> PRECISION;
      result[to + 1] = green >> PRECISION;
      result[to + 2] = blue >> PRECISION;
    }
  }
  return result;
}

function alongColumns(image, height, width, size) {
  const result = new Uint8ClampedArray(size * width * 3);
  const filter = bicubic(height, size);
  const sums = new Float64Array(width * 3);
  for (let row = 0; row < size; row += 1) {
    const { first, weights } = filter[row];
    sums.fill(1 << (PRECISION - 1));
    for (let tap = 0; tap < weights.length; tap += 1) {
      const weight = weights[tap];
      const from = (first + tap) * width * 3;
      for (let at = 0; at < sums.length; at += 1) sums[at] += image[from + at] * weight;
    }
    const to = row * width * 3;
    for (let at = 0; at < sums.length; at += 1) result[to + at] = sums[at] >> PRECISION;
  }
  return result;
}

/** Return the first input and the fixed-point weights of each output (Pillow's precompute_coeffs). */
function bicubic(inputs, outputs) {
  const scale = inputs / outputs;
  const widening = Math.max(1, scale);
  return Array.from({ length: outputs }, (_, output) => {
    const centre = (output + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * widening + 0.5));
    const last = Math.min(inputs, Math.trunc(centre + 2 * widening + 0.5));
    const raw = Array.from({ length: last - first }, (_, tap) => cubic((tap + first - centre + 0.5) * (1 / widening)));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    const weights = raw
      .map((weight) => (weight / sum) * (1 << PRECISION))
      .map((weight) => Math.trunc(weight + (weight < 0 ? -0.5 : 0.5)));
    return { first, weights };
  });
}

function cubic(distance) {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0;
}

/** Linear interpolation along an axis, with a wider filter where the result is coarser (`AxisResampling`). */
export class Axis {
  constructor(inputs, outputs) {
    Object.assign(this, { inputs, outputs, scale: inputs / outputs });
    this.reach = Math.max(1, this.scale);
    this.margin = inputs === outputs ? 0 : Math.ceil(2 * this.reach);
    this.windows = Array.from({ length: outputs }, (_, output) => this.#window(output));
  }

  /** Return the outputs, from the first to before the last, that become possible with some inputs. */
  finishedBy(first, last) {
    const before = (limit) => {
      let count = 0;
      while (count < this.outputs && this.windows[count].high < limit) count += 1;
      return count;
    };
    return [before(first), before(last)];
  }

  #window(output) {
    if (this.margin === 0) return { low: output, high: output, weights: [1] };
    const centre = Math.min(Math.max((output + 0.5) * this.scale - 0.5, 0), this.inputs - 1);
    const low = Math.max(0, Math.floor(centre - this.reach) + 1);
    const high = Math.min(this.inputs - 1, Math.ceil(centre + this.reach) - 1);
    const raw = Array.from({ length: high - low + 1 }, (_, tap) =>
      Math.max(0, 1 - Math.abs(low + tap - centre) / this.reach),
    );
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return { low, high, weights: raw.map((weight) => weight / sum) };
  }
}

/** Resample a strip of outputs (channels, depth, width) to the rows from `first` to before `last`. */
export function resampleStrip(strip, channels, rows, columns, first, last) {
  const width = columns.inputs;
  const offset = strip.above - strip.top; // row of the strip = row of the image + offset
  if (rows.margin === 0 && columns.margin === 0) {
    const part = new Float32Array(channels * (last - first) * width);
    for (let channel = 0; channel < channels; channel += 1) {
      const start = (channel * strip.depth + first + offset) * width;
      part.set(strip.values.subarray(start, start + (last - first) * width), channel * (last - first) * width);
    }
    return part;
  }
  const [low, high] = [rows.windows[first].low, rows.windows[last - 1].high];
  const across = new Float32Array((high - low + 1) * columns.outputs);
  const result = new Float32Array(channels * (last - first) * columns.outputs);
  for (let channel = 0; channel < channels; channel += 1) {
    for (let row = low; row <= high; row += 1) {
      const from = (channel * strip.depth + row + offset) * width;
      let to = (row - low) * columns.outputs;
      for (const window of columns.windows) {
        let sum = 0;
        for (let tap = 0; tap < window.weights.length; tap += 1)
          sum += strip.values[from + window.low + tap] * window.weights[tap];
        across[to++] = sum;
      }
    }
    for (let row = first; row < last; row += 1) {
      const window = rows.windows[row];
      const to = (channel * (last - first) + row - first) * columns.outputs;
      for (let tap = 0; tap < window.weights.length; tap += 1) {
        const weight = window.weights[tap];
        const from = (window.low + tap - low) * columns.outputs;
        for (let column = 0; column < columns.outputs; column += 1)
          result[to + column] += across[from + column] * weight;
      }
    }
  }
  return result;
}
