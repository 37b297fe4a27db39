// Tells a training pair (a photo with its map beside it) from a wide photo, as images/side_by_side.py does.

const [MIN_HEIGHT, NEAR, SAMPLES, WHITE] = [64, 5, 300, 250];
const [MAX_PHOTO_SHARE, MIN_MAP_SHARE, MIN_COLOURED_SHARE, MIN_FLATNESS] = [0.2, 0.6, 0.3, 0.25];

/** Return the left half of a decoded image that looks like a training pair, any other as it is. */
export function photoOfPair(image, classes) {
  if (!looksLikeAPair(image, classes)) return { ...image, isHalf: false };
  const half = image.height;
  const crop = (values, bands) => {
    const left = new values.constructor(half * half * bands);
    for (let row = 0; row < half; row += 1)
      left.set(values.subarray(row * 2 * half * bands, (row * 2 + 1) * half * bands), row * half * bands);
    return left;
  };
  return {
    width: half,
    height: half,
    pixels: crop(image.pixels, 4),
    alpha: image.alpha && crop(image.alpha, 1),
    isHalf: true,
  };
}

function looksLikeAPair({ width, height, pixels }, classes) {
  if (width !== 2 * height || height < MIN_HEIGHT) return false;
  const colours = classes.flatMap((one) => one.colours);
  const photo = shares({ pixels, width, height }, 0, colours);
  const map = shares({ pixels, width, height }, height, colours);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const coloured = map.filter((_, number) => Math.min(...colours[number]) < WHITE);
  return (
    sum(map) >= MIN_MAP_SHARE &&
    sum(coloured) >= MIN_COLOURED_SHARE &&
    sum(photo) <= MAX_PHOTO_SHARE &&
    flatness({ pixels, width, height }) >= MIN_FLATNESS
  );
}

/** Return the share of a half's pixels near each colour. */
function shares({ pixels, width, height }, left, colours) {
  const step = Math.max(1, Math.floor(height / SAMPLES));
  const anchors = colours.map(lab);
  const counts = new Array(colours.length).fill(0);
  let total = 0;
  for (let row = 0; row < height; row += step) {
    for (let column = left; column < left + height; column += step, total += 1) {
      const at = (row * width + column) * 4;
      const [lightness, a, b] = lab(pixels.subarray(at, at + 3));
      const squared = anchors.map(
        (anchor) => (lightness - anchor[0]) ** 2 + (a - anchor[1]) ** 2 + (b - anchor[2]) ** 2,
      );
      const nearest = Math.min(...squared);
      if (nearest <= NEAR ** 2) counts[squared.indexOf(nearest)] += 1;
    }
  }
  return counts.map((count) => count / total);
}

/** Return the share of the right half's pixels like their left neighbour: the median of 8 by 8 blocks. */
function flatness({ pixels, width, height }) {
  const equal = Array.from({ length: 64 }, () => [0, 0]);
  const blockOf = edges(height - 1);
  const rowBlockOf = edges(height);
  for (let row = 0; row < height; row += 1) {
    for (let column = 1; column < height; column += 1) {
      const at = (row * width + height + column) * 4;
      const block = equal[rowBlockOf(row) * 8 + blockOf(column - 1)];
      block[1] += 1;
      if ([0, 1, 2].every((band) => Math.abs(pixels[at + band] - pixels[at + band - 4]) <= 2)) block[0] += 1;
    }
  }
  const ordered = equal.map(([like, all]) => like / Math.max(1, all)).sort((one, other) => one - other);
  return (ordered[31] + ordered[32]) / 2;
}

/** Return in which of 8 parts a number lies, the first parts being the longer ones (numpy.array_split). */
function edges(length) {
  const [size, longer] = [Math.floor(length / 8), length % 8];
  return (number) =>
    number < longer * (size + 1)
      ? Math.floor(number / (size + 1))
      : longer + Math.floor((number - longer * (size + 1)) / size);
}

/** Convert an sRGB colour to CIELAB (D65), as images/palette/lab.py. */
function lab(rgb) {
  const [red, green, blue] = Array.from(rgb, (level) =>
    level / 255 > 0.04045 ? ((level / 255 + 0.055) / 1.055) ** 2.4 : level / 255 / 12.92,
  );
  const f = (value) => (value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 16 / 116);
  const x = f((0.412453 * red + 0.35758 * green + 0.180423 * blue) / 0.95047);
  const y = f(0.212671 * red + 0.71516 * green + 0.072169 * blue);
  const z = f((0.019334 * red + 0.119193 * green + 0.950227 * blue) / 1.08883);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}
