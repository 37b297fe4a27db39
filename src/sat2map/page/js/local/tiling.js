// Tiles of an image: where they lie, how they overlap and blend. The same as inference/tiling.py, whose
// constants come with the model.

/** Return the tiles along an axis: {start, stop, first, last, fade} each, as `Span` in inference/tiling.py. */
export function spans(grid, length) {
  const { tile, overlap, divisor, minLast, alignment } = grid;
  if (length <= tile) return [{ start: 0, stop: roundUp(length, divisor), first: 0, last: length, fade: 0 }];
  const stride = tile - overlap;
  const count = Math.ceil((length - overlap) / stride);
  const starts = Array.from({ length: count }, (_, number) => number * stride);
  const least = Math.min(tile, roundUp(Math.min(minLast, tile), divisor));
  const size = Math.min(tile, Math.max(least, roundUp(length - starts[count - 1], divisor)));
  const back = roundUp(length - size, Math.min(divisor, alignment));
  starts[count - 1] = Math.max(Math.min(starts[count - 1], back), starts[count - 2] + overlap);
  const stops = starts.map((start, number) => start + (number < count - 1 ? tile : size));
  const edges = [0];
  for (let number = 1; number < count; number += 1) {
    edges.push(starts[number] + Math.floor((stops[number - 1] - starts[number] - overlap) / 2));
  }
  edges.push(length);
  return starts.map((start, number) => ({
    start,
    stop: stops[number],
    first: edges[number],
    last: edges[number + 1],
    fade: number < count - 1 ? overlap : 0,
  }));
}

/** Return the tiles of an image: rows and columns of spans; one of each up to `maxUntiled` px a side. */
export function tilesOf(grid, height, width) {
  const whole = Math.max(height, width) <= grid.maxUntiled;
  const used = whole ? { ...grid, tile: grid.maxUntiled } : grid;
  return { rows: spans(used, height), columns: spans(used, width) };
}

/** Return a tile's weights along an axis, from where it begins to finish pixels to the end of its fading. */
export function fade(span, overlap) {
  const weights = new Float32Array(span.last + span.fade - span.first).fill(1);
  for (let at = 0; at < overlap; at += 1) {
    const weight = 0.5 - 0.5 * Math.cos((Math.PI * (at + 0.5)) / overlap);
    if (span.first > 0) weights[at] = weight;
    if (span.fade) weights[weights.length - 1 - at] = weight;
  }
  return weights;
}

/**
 * Run a network over an image, and yield strips of blended outputs: {top, bottom, above, depth, values}.
 *
 * `values` is (channels, depth, width); its row `above` is row `top` of the image, and before it are rows of the
 * strip above (as many as `margin`, where there are so many). `run(rows, columns)` gives the outputs of a tile,
 * (channels, rows.stop - rows.start, columns.stop - columns.start).
 */
export async function* strips(grid, height, width, channels, margin, run) {
  const { rows, columns } = tilesOf(grid, height, width);
  let rim = null; // what the row above has finished last, and begun to blend
  for (const down of rows) {
    const above = rim ? Math.min(margin, rim.finished) : 0;
    const depth = above + down.last + down.fade - down.first;
    const values = new Float32Array(channels * depth * width);
    if (rim) copyRows(rim, rim.finished - above, values, depth, channels, width);
    for (const across of columns)
      add(values, depth, width, above, await run(down, across), down, across, channels, grid.overlap);
    const finished = above + down.last - down.first;
    yield { top: down.first, bottom: down.last, above, depth, values };
    const kept = Math.min(margin, finished);
    rim = { values: new Float32Array(channels * (kept + down.fade) * width), depth: kept + down.fade, finished: kept };
    copyRows({ values, depth }, finished - kept, rim.values, rim.depth, channels, width);
  }
}

/** Copy the last rows of each channel of `from`, from row `first` on, to the first rows of `to`. */
function copyRows(from, first, to, depth, channels, width) {
  for (let channel = 0; channel < channels; channel += 1) {
    const start = (channel * from.depth + first) * width;
    to.set(from.values.subarray(start, (channel + 1) * from.depth * width), channel * depth * width);
  }
}

function add(strip, depth, width, above, tile, down, across, channels, overlap) {
  const [height, side] = [down.stop - down.start, across.stop - across.start];
  const [vertical, horizontal] = [fade(down, overlap), fade(across, overlap)];
  for (let channel = 0; channel < channels; channel += 1) {
    for (let row = 0; row < vertical.length; row += 1) {
      const weight = vertical[row];
      let from = (channel * height + down.first - down.start + row) * side + across.first - across.start;
      let to = (channel * depth + above + row) * width + across.first;
      for (let column = 0; column < horizontal.length; column += 1)
        strip[to++] += tile[from++] * weight * horizontal[column];
    }
  }
}

/** Return the number in 0..length-1 that a number from 0 on stands for, reflected as often as needed. */
export function reflected(number, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const rest = number % period;
  return rest < length ? rest : period - rest;
}

function roundUp(value, multiple) {
  return Math.ceil(value / multiple) * multiple;
}
