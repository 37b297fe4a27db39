// Keeps all files of the folder, so that the page works without a network. `RELEASE` is written before this.

const { version, files } = self.RELEASE;
const CACHE = `sat2map-${version}`;

addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(files.map((file) => new Request(file, { cache: "no-cache" })))),
  );
  skipWaiting();
});

addEventListener("activate", (event) => {
  const clear = caches
    .keys()
    .then((names) =>
      Promise.all(
        names.filter((name) => name.startsWith("sat2map-") && name !== CACHE).map((name) => caches.delete(name)),
      ),
    );
  event.waitUntil(clear.then(() => clients.claim()));
});

addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || !event.request.url.startsWith(registration.scope)) return;
  event.respondWith(answer(event.request));
});

/** Answer from the cache, in a way that isolates the page's origin, so that the network may use threads. */
async function answer(request) {
  const found = (await caches.match(request, { cacheName: CACHE, ignoreSearch: true })) ?? (await fetch(request));
  if (found.type === "opaque" || found.status === 0) return found;
  const headers = new Headers(found.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
