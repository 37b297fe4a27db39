// Reads an image file into bytes, or says why it cannot.

import { texts } from "../texts.js";

/** Decode a file; returns {width, height, pixels (RGBA), alpha (or null)}. */
export async function decode(file, maxPixels) {
  const head = new Uint8Array(await file.slice(0, 1 << 18).arrayBuffer());
  const problem = unsupported(head);
  if (problem) throw failure(texts.unsupportedTitle, problem);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw failure(texts.unsupportedTitle, texts.notDecoded);
  }
  const { width, height } = bitmap;
  if (width * height > maxPixels)
    throw failure(texts.tooLargeTitle, texts.tooLargeHere(width, height, Math.round(maxPixels / 1e6)));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, width, height).data;
  return { width, height, pixels, alpha: alphaOf(pixels) };
}

/** An error for people, with a title. */
export function failure(title, detail) {
  return Object.assign(new Error(detail), { title });
}

function alphaOf(pixels) {
  const alpha = new Uint8Array(pixels.length / 4);
  let clear = false;
  for (let at = 0; at < alpha.length; at += 1) {
    alpha[at] = pixels[at * 4 + 3];
    clear ||= alpha[at] < 255;
  }
  return clear ? alpha : null;
}

/** Return what a browser would decode to other numbers than `sat2map translate` does, or undefined. */
function unsupported(head) {
  const starts = (...bytes) => bytes.every((byte, at) => head[at] === byte);
  if (starts(0x49, 0x49, 0x2a) || starts(0x4d, 0x4d, 0, 0x2a) || starts(0x49, 0x49, 0x2b)) return texts.noTiffHere;
  if (starts(0x89, 0x50, 0x4e, 0x47) && head[24] === 16) return texts.deepHere;
  if (starts(0xff, 0xd8) && jpegBands(head) === 4) return texts.cmykHere;
  return undefined;
}

/** Return the number of bands in a JPEG's frame header; undefined if it lies behind what was read. */
function jpegBands(head) {
  for (let at = 2; at + 9 < head.length && head[at] === 0xff; at += 2 + head[at + 2] * 256 + head[at + 3]) {
    const marker = head[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return head[at + 9];
  }
  return undefined;
}
