// The worker that draws: decoding, network, blending, drawing. The page never waits for any of it.

import * as ort from "../../vendor/onnxruntime-web/ort.wasm.min.mjs";
import { texts } from "../texts.js";
import { decode, failure } from "./decode.js";
import { Drawing } from "./drawing.js";
import { photoOfPair } from "./pair.js";
import { Axis, resampleStrip, resize } from "./resample.js";
import { reflected, strips, tilesOf } from "./tiling.js";

const MODEL = new URL("../../../model/", import.meta.url);
const ROWS = 32; // drawn at a time
const MAX_DRAWINGS = 6; // kept, so that other colours and views need no second run
const UNIT = Float32Array.from({ length: 256 }, (_, level) => Math.fround(level / 127.5) - 1);

ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency || 1) : 1;

const drawings = new Map();
let kept; // the last decoded photo: {id, width, height, pixels, alpha}
let opened;

/** Fetch the model and make a session of it, once. */
function open() {
  opened ??= (async () => {
    const model = await (await get("model.json")).json();
    const bytes = new Uint8Array(await (await get(model.file)).arrayBuffer());
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
    });
    return { model, session };
  })();
  opened.catch(() => (opened = undefined));
  return opened;
}

async function get(name) {
  try {
    const answer = await fetch(new URL(name, MODEL));
    if (answer.ok) return answer;
  } catch {
    // reported below
  }
  throw failure(texts.inBrowser.offline, texts.modelMissing);
}

/** Return the photo of a file, which another call may replace as the kept one while this one draws. */
async function photoOf({ id, file, maxPixels, classes }) {
  if (kept?.id === id) return kept;
  const photo = { id, ...photoOfPair(await decode(file, maxPixels), classes) };
  kept = photo;
  return photo;
}

async function draw({ gsd, ...source }, report) {
  const key = `${source.id} ${gsd || ""}`;
  if (!drawings.has(key)) {
    drawings.set(key, await run(await photoOf(source), gsd, report));
    if (drawings.size > MAX_DRAWINGS) drawings.delete(drawings.keys().next().value);
  }
  return drawings.get(key);
}

async function run(photo, gsd, report) {
  const { model, session } = await open();
  const factor = gsd ? gsd / model.gsd : 1 / (model.sourceScale || 1);
  const [height, width] = [photo.height, photo.width].map((side) => halfToEven(side * factor));
  if (Math.min(height, width, photo.height, photo.width) < model.minSide)
    throw failure(texts.tooSmallTitle, texts.tooSmall(photo.width, photo.height, width, height, model.minSide));
  if (height * width > model.maxPixels)
    throw failure(texts.tooLargeTitle, texts.tooLargeHere(width, height, Math.round(model.maxPixels / 1e6)));
  const scaled = resize(photo.pixels, [photo.height, photo.width], [height, width]);
  const drawing = new Drawing(model, photo.height, photo.width, photo.alpha);
  const [rows, columns] = [new Axis(height, photo.height), new Axis(width, photo.width)];
  const channels = drawing.owners.length;
  const tiles = tilesOf(model.grid, height, width);
  const total = tiles.rows.length * tiles.columns.length;
  let done = 0;
  report(done, total);
  const runTile = async (down, across) => {
    const values = cut(scaled, height, width, down, across);
    const source = new ort.Tensor("float32", values, [1, 3, down.stop - down.start, across.stop - across.start]);
    const outputs = await session.run({ [session.inputNames[0]]: source });
    done += 1;
    report(done, total);
    return outputs[session.outputNames[0]].data;
  };
  for await (const strip of strips(model.grid, height, width, channels, rows.margin, runTile)) {
    const [first, last] = rows.finishedBy(strip.top, strip.bottom);
    for (let row = first; row < last; row += ROWS) {
      const end = Math.min(row + ROWS, last);
      drawing.add(resampleStrip(strip, channels, rows, columns, row, end), row, end);
    }
  }
  return drawing;
}

/** Cut a tile out of RGB bytes, float32 (3, h, w) in [-1, 1], filled up by reflection. */
function cut(image, height, width, down, across) {
  const [rows, columns] = [down.stop - down.start, across.stop - across.start];
  const [there, wide] = [Math.min(down.stop, height) - down.start, Math.min(across.stop, width) - across.start];
  const values = new Float32Array(3 * rows * columns);
  for (let row = 0, to = 0; row < rows; row += 1) {
    const line = (down.start + reflected(row, there)) * width + across.start;
    for (let column = 0; column < columns; column += 1, to += 1) {
      const from = (line + reflected(column, wide)) * 3;
      values[to] = UNIT[image[from]];
      values[to + rows * columns] = UNIT[image[from + 1]];
      values[to + 2 * rows * columns] = UNIT[image[from + 2]];
    }
  }
  return values;
}

/** Round as Python does. */
function halfToEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

const actions = {
  read: async (message) => {
    const { width, height, isHalf } = await photoOf(message);
    return { width, height, isHalf };
  },
  draw: async (message, report) => {
    const drawing = await draw(message, report);
    return { blob: await drawing.png("image", message.colors), classes: drawing.shares(message.colors) };
  },
  product: async (message, report) => (await draw(message, report)).png(message.product, message.colors),
};

addEventListener("message", async ({ data: { call, action, message } }) => {
  try {
    const result = await actions[action](message, (done, total) => postMessage({ call, done, total }));
    postMessage({ call, result });
  } catch (error) {
    const memory = error instanceof RangeError || /memory|allocat/i.test(String(error?.message ?? error));
    if (!error?.title) console.error(error);
    postMessage({
      call,
      title: error?.title ?? (memory ? texts.memoryTitle : texts.unknownError),
      detail: error?.title ? error.message : memory ? texts.memory : texts.pageError,
    });
  }
});
