// Keeps the whole page on the device: files, engine and model, all of one build or nothing. A new build is fetched beside the old one
// and takes over when no page is open any more, so that a page never mixes two builds and never loses the one that works.

const BUILD = /* BUILD */ null;
const CACHE = `triage-${BUILD.version}`;
const compat = new URL(self.location).searchParams.get("engine") === "compat";
const unneeded = compat ? ["engine/wllama.wasm"] : ["engine/compat.js", "engine/compat.wasm"];

async function keepAll() {
  const cache = await caches.open(CACHE);
  const wanted = Object.entries(BUILD.files).filter(([path]) => !unneeded.includes(path));
  const total = wanted.reduce((sum, [, bytes]) => sum + bytes, 0);
  let seen = 0;
  try {
    for (const [path] of wanted) {
      const response = await fetch(path, { cache: "no-cache" });
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      const counter = new TransformStream({
        transform(piece, out) {
          seen += piece.length;
          tell({ kept: seen / total });
          out.enqueue(piece);
        },
      });
      await cache.put(path, new Response(response.body.pipeThrough(counter), response));
    }
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function tell(message) {
  for (const client of await self.clients.matchAll({ includeUncontrolled: true })) client.postMessage(message);
}

async function takeOver() {
  for (const name of await caches.keys()) if (name.startsWith("triage-") && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

async function answer(request) {
  const kept = await caches.open(CACHE);
  const path = request.url.split(/[?#]/)[0];
  return (await kept.match(path === self.registration.scope ? "index.html" : path)) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(self.registration.scope)) event.respondWith(answer(event.request));
});
