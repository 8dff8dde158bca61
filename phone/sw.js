// Keeps the whole page on the device: files, engine and the chosen model, all of one build or nothing. A new build is fetched beside the
// old one and takes over when no page is open any more, so that a page never mixes two builds and never loses the one that works.
// It also sets the headers that threads need, because a static host cannot be asked to.

const BUILD = /* BUILD */ null;
const OURS = `triage ${self.registration.scope} `; // other pages of this origin have caches too
const CACHE = `${OURS}${BUILD.version}`;
const asked = new URL(self.location).searchParams;
const PATIENCE = 1000 * (Number(asked.get("patience")) || 30); // no byte for so long: the connection is dead
const TRIES = 2;
const unneeded = [
  ...(asked.get("engine") === "compat" ? ["engine/wllama.wasm"] : ["engine/compat.js", "engine/compat.wasm"]),
  ...BUILD.models.filter((file) => file !== asked.get("model")),
];
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

async function keepAll() {
  const cache = await caches.open(CACHE);
  const wanted = Object.entries(BUILD.files).filter(([path]) => !unneeded.includes(path));
  const total = wanted.reduce((sum, [, bytes]) => sum + bytes, 0);
  let before = 0;
  for (const [path, bytes] of wanted) {
    for (let left = TRIES; left > 0 && !(await cache.match(path)); left--) { // what an earlier try has kept stays
      await keep(cache, path, bytes, (seen) => tell({ kept: (before + seen) / total })).catch((error) => {
        if (left === 1) throw error;
      });
    }
    before += bytes;
  }
  const isSameBuild = (await caches.keys()).filter((name) => name.startsWith(OURS)).length === 1;
  if (isSameBuild) await self.skipWaiting(); // only the chosen model is another: nothing can be mixed
}

async function keep(cache, path, bytes, onSeen) {
  const stop = new AbortController();
  let seen = 0, clock = setTimeout(() => stop.abort(), PATIENCE);
  const listen = (piece, out) => {
    clearTimeout(clock);
    clock = setTimeout(() => stop.abort(), PATIENCE);
    onSeen((seen += piece.length));
    out.enqueue(piece);
  };
  const finish = (out) => (seen === bytes ? undefined : out.error(new Error(`${path}: ${seen} bytes of ${bytes}`)));
  try {
    const response = await fetch(path, { cache: "no-cache", signal: stop.signal });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    const counted = response.body.pipeThrough(new TransformStream({ transform: listen, flush: finish }));
    await cache.put(path, new Response(counted, { headers: response.headers }));
  } finally {
    clearTimeout(clock);
  }
}

async function tell(message) {
  for (const client of await self.clients.matchAll({ includeUncontrolled: true })) client.postMessage(message);
}

async function takeOver() {
  for (const name of await caches.keys()) if (name.startsWith(OURS) && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

async function answer(request) {
  const kept = await caches.open(CACHE);
  const path = request.url.split(/[?#]/)[0];
  return isolated((await kept.match(path === self.registration.scope ? "index.html" : path)) ?? (await fetch(request)));
}

function isolated(response) {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(self.registration.scope)) event.respondWith(answer(event.request));
});
