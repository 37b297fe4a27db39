// The result: its views, legend, downloads, and the commands that repeat it.

import { complain, element } from "./api.js";
import { curl, python, stem } from "./commands.js";
import { legendEntry, make } from "./model.js";
import { texts } from "./texts.js";

const VIEWS = ["side", "photo", "map", "classes", "confidence"];
const WORDS = {
  side: "viewSide",
  photo: "viewPhoto",
  map: "viewMap",
  classes: "viewClasses",
  confidence: "viewConfidence",
};

/** Shows a result: an object with `name`, `query`, `urls` ({photo, map, ...}), `load(product)` and `summary`. */
export class ResultView {
  #viewer;
  #result;
  #view = "side";

  constructor(viewer) {
    this.#viewer = viewer;
    element("views").append(
      ...VIEWS.map((view) => {
        const input = make("input", { type: "radio", name: "view", value: view, id: `view-${view}` });
        input.addEventListener("change", () => this.#choose(view).catch(tell));
        return make("label", {}, input, make("span", { textContent: texts[WORDS[view]] }));
      }),
    );
  }

  async show(result) {
    this.#result = result;
    element("name").textContent = result.name;
    element("download").href = result.urls.map;
    element("download").download = `${stem(result.name)}-map.${result.suffix}`;
    this.#offer();
    this.#legend();
    const there = VIEWS.filter((view) => this.#has(view));
    for (const view of VIEWS) element(`view-${view}`).parentElement.hidden = !there.includes(view);
    element("views").hidden = there.length === 0;
    if (!there.length) return this.#viewer.nothing();
    return this.#choose(there.includes(this.#view) ? this.#view : there[0]);
  }

  get size() {
    return (
      this.#has("map") && [
        element("after").naturalWidth || element("single").naturalWidth,
        element("after").naturalHeight || element("single").naturalHeight,
      ]
    );
  }

  #has(view) {
    const { urls, summary, shown } = this.#result;
    if (!shown) return false;
    if (view === "side" || view === "photo") return Boolean(urls.photo);
    if (view === "map") return true;
    return Boolean(summary?.products.includes(view));
  }

  async #choose(view) {
    const result = this.#result;
    this.#view = view;
    element(`view-${view}`).checked = true;
    element("view-note").hidden = view !== "confidence";
    if (view === "side") return this.#viewer.compare(result.urls.photo, result.urls.map);
    if (!result.urls[view]) result.urls[view] = await result.load(view);
    if (result !== this.#result || view !== this.#view) return undefined;
    return this.#viewer.single(result.urls[view], texts[WORDS[view]]);
  }

  #legend() {
    const { summary } = this.#result;
    element("legend-tool").hidden = !summary?.classes.length;
    element("shares").replaceChildren(...(summary?.classes ?? []).map(legendEntry));
  }

  #offer() {
    const result = this.#result;
    const items = [];
    const button = (id, text, action) => {
      const one = make("button", { type: "button", id, textContent: text });
      one.addEventListener("click", async () => {
        element("more").open = false;
        await action().catch(tell);
      });
      items.push(one);
    };
    if (result.tiff)
      button("download-tiff", texts.downloadTiff, async () =>
        save(await result.load("tiff"), `${stem(result.name)}-map.tif`),
      );
    for (const product of ["classes", "confidence"]) {
      if (!result.summary?.products.includes(product)) continue;
      button(
        `download-${product}`,
        texts[product === "classes" ? "downloadClasses" : "downloadConfidence"],
        async () => {
          result.urls[product] ??= await result.load(product);
          save(result.urls[product], `${stem(result.name)}-${product}.png`);
        },
      );
    }
    if (result.shown && result.urls.photo)
      button("download-side", texts.downloadSide, async () =>
        save(await sideBySide(result.urls), `${stem(result.name)}-side-by-side.png`),
      );
    if (result.hasApi) button("copy-curl", texts.copyCurl, () => copy(curl(result)));
    button("copy-python", texts.copyPython, () => copy(python(result)));
    element("more-items").replaceChildren(...items);
  }
}

/** Show why something of the result did not come, unless the drawing was cancelled. */
function tell(error) {
  if (error.name !== "AbortError") complain(error);
}

function save(url, name) {
  make("a", { href: url, download: name }).click();
}

async function sideBySide({ photo, map }) {
  const images = await Promise.all(
    [photo, map].map(async (src) => {
      const image = make("img", { src });
      await image.decode();
      return image;
    }),
  );
  const [width, height] = [images[1].naturalWidth, images[1].naturalHeight];
  const canvas = make("canvas", { width: 2 * width, height });
  const context = canvas.getContext("2d");
  context.drawImage(images[0], 0, 0, width, height);
  context.drawImage(images[1], width, 0, width, height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return URL.createObjectURL(blob);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    element("status").textContent = texts.copied;
  } catch {
    element("status").textContent = texts.notCopied;
  }
}
