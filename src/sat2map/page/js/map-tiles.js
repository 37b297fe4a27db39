// Tiles of the live map by fetch: with the API key, patient with a busy service, given up when out of sight.

import { askPatiently, complain } from "./api.js";

export const FetchedTiles = L.GridLayer.extend({
  initialize(address, options) {
    L.GridLayer.prototype.initialize.call(this, options);
    this._address = address;
    this.waiting = 0; // tiles that are being drawn
    this.asked = 0; // those, and the ones done since all were
    this.on("tileunload", ({ tile }) => {
      tile.stop?.abort();
      const image = tile.firstChild;
      if (image?.src) URL.revokeObjectURL(image.src);
    });
  },
  createTile(coords, done) {
    const tile = document.createElement("div");
    const image = document.createElement("img");
    image.alt = "";
    tile.append(image);
    if (this.options.progress) tile.classList.add("pending");
    tile.stop = new AbortController();
    this._count(1);
    const finish = (error) => {
      tile.classList.remove("pending");
      this._count(-1);
      done(error, tile);
    };
    askPatiently(L.Util.template(this._address, coords), { signal: tile.stop.signal }, 10)
      .then((answer) => answer.blob())
      .then((blob) => {
        tile.stop.signal.throwIfAborted();
        image.src = URL.createObjectURL(blob);
        return image.decode();
      })
      .then(
        () => finish(null),
        (error) => {
          if (!tile.stop.signal.aborted) complain(error);
          finish(error);
        },
      );
    return tile;
  },
  _count(change) {
    this.waiting += change;
    this.asked = this.waiting === 0 ? 0 : this.asked + Math.max(change, 0);
    this.fire("progress");
  },
});
