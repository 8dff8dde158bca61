// The model: llama.cpp in WebAssembly, by way of wllama. It runs on this device; nothing that is asked leaves it.

// wllama wants suspendable WebAssembly and 64-bit memory. Where a browser lacks them (Safari), its slower build for such browsers is loaded.
function hasWideMemory() {
  try {
    return Boolean(new WebAssembly.Memory({ address: "i64", initial: 1n }));
  } catch {
    return false;
  }
}
const firefox = /Firefox\//.test(navigator.userAgent);
export const compat = typeof WebAssembly === "object" && !firefox && !(WebAssembly.Suspending && hasWideMemory());
export const files = compat ? ["engine/compat.js", "engine/compat.wasm"] : ["engine/wllama.wasm"];

export class Problem extends Error {}

const TRIES = 2;

// A file, as a blob. A connection that brings no byte for `patience` milliseconds counts as dead, and is tried once more.
async function download(path, patience, onSeen) {
  for (let left = TRIES; ; left--) {
    try {
      return await downloadOnce(path, patience, onSeen);
    } catch (problem) {
      if (left === 1 || problem.message === "missing") throw problem;
    }
  }
}

async function downloadOnce(path, patience, onSeen = () => {}) {
  const stop = new AbortController(), parts = [];
  let seen = 0, clock = setTimeout(() => stop.abort(), patience);
  try {
    const response = await fetch(path, { signal: stop.signal });
    if (!response.ok) throw new Problem("missing");
    const reader = response.body.getReader();
    for (let piece; !(piece = await reader.read()).done; ) {
      clearTimeout(clock);
      clock = setTimeout(() => stop.abort(), patience);
      parts.push(piece.value);
      onSeen((seen += piece.value.length));
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(stop.signal.aborted ? "stalled" : seen ? "truncated" : "missing");
  } finally {
    clearTimeout(clock);
  }
  return new Blob(parts, { type: path.endsWith(".wasm") ? "application/wasm" : "" }); // whatever the server calls it
}

export function within(patience, promise) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Problem("stalled")), patience));
  return Promise.race([promise, late]);
}

// Can a file be held against its hash here? Over plain http the browser does not lend its hash function.
export const canHash = Boolean(globalThis.crypto?.subtle);

// The model file, held against its size and hash before WebAssembly sees it: llama.cpp trusts what it is given.
async function downloadModel(model, patience, onProgress) {
  const blob = await download(model.file, patience, (seen) => onProgress(seen / model.bytes));
  if (blob.size < model.bytes) throw new Problem("truncated");
  if (blob.size > model.bytes) throw new Problem("corrupt");
  for (let place = 0; canHash && place < model.pieces.length; place++) {
    const piece = blob.slice(place * model.pieceBytes, (place + 1) * model.pieceBytes);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await piece.arrayBuffer()));
    const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== model.pieces[place]) throw new Problem("corrupt");
  }
  return blob;
}

export class Engine {
  static async load(config, model, { threads, patience, onProgress = () => {} }) {
    if (typeof WebAssembly !== "object") throw new Problem("no-webassembly");
    const { Wllama } = await within(patience, import("./engine/wllama.js")).catch((error) => {
      throw error instanceof Problem ? error : new Problem("missing");
    });
    const file = model.blob ?? (await downloadModel(model, patience, onProgress)); // a blob: the reader's own file
    // Workers made from code do not ask the service worker in every browser, so they get the file and not its address.
    const [code, wasm] = await Promise.all([...(compat ? [] : [null]), ...files].map((path) => path && download(path, patience)));
    const place = URL.createObjectURL(wasm);
    // wllama's own cache is left out: the service worker keeps the model, and on plain http wllama does not start with one.
    const attempt = async (count) => {
      const wllama = new Wllama({ default: place }, { suppressNativeLog: true, logger: silent, cacheManager: {} });
      wllama.setCompat(compat ? { worker: { code: await code.text() }, wasm: place } : null);
      try {
        await wllama.loadModel([file], {
          n_ctx: config.context, n_threads: count, n_gpu_layers: 0, n_parallel: 1, reasoning_format: "none", skip_chat_parsing: true,
        });
      } catch (error) {
        await wllama.exit();
        throw error;
      }
      return wllama;
    };
    try {
      const wllama = await attempt(threads).catch((error) => (threads > 1 ? attempt(1) : Promise.reject(error)));
      return new Engine(wllama, Wllama.getLibllamaVersion());
    } catch (error) {
      throw new Problem(/memory|alloc|out of bounds|RangeError/i.test(`${error?.name} ${error?.message}`) ? "memory" : "refused");
    } finally {
      URL.revokeObjectURL(place);
    }
  }

  constructor(wllama, version) {
    this.wllama = wllama;
    this.version = version;
    this.threads = wllama.getNumThreads();
    this.special = new Map();
  }

  // The likeliest token each time, so that the same question gets the same answer, here and in every other runtime. Penalties are named
  // and switched off, because a file may bring settings of its own.
  async answer(messages, maxTokens, { onText = () => {}, signal, verbose = false } = {}) {
    let text = "", reason = "length", details = null;
    await this.wllama.createChatCompletion({
      messages, max_tokens: maxTokens, ...GREEDY, cache_prompt: false, stream: true, verbose, abortSignal: signal,
      onData: (chunk) => {
        const choice = chunk.choices?.[0];
        if (choice?.delta?.content) onText((text += choice.delta.content));
        if (choice?.finish_reason) reason = choice.finish_reason;
        details = chunk.__verbose ?? details;
      },
    });
    return { text: text.trim(), reason, details };
  }

  // One question of the self-test: prompt and tokens as they were fed, the answer, and what could have stood at the level's place.
  async examine(item, maxTokens) {
    const { text, reason, details } = await this.answer(item.messages, maxTokens, { verbose: true });
    const tokens = await this.tokens(details.prompt);
    if (tokens.length !== details.tokens_evaluated) throw new Error(`${details.tokens_evaluated} tokens were fed, not ${tokens.length}`);
    const place = await this.raw({ prompt: details.prompt + item.heading.trimEnd(), logprobs: 10, n_probs: 10 });
    const top = place.choices[0].logprobs?.content?.[0]?.top_logprobs ?? null;
    return {
      id: item.id, prompt: details.prompt, tokens, text, finish_reason: reason, top: top && top.map((row) => [row.id, Math.exp(row.logprob)]),
    };
  }

  close() {
    return this.wllama.exit();
  }

  raw(options) {
    return this.wllama.createCompletion({ max_tokens: 1, ...GREEDY, cache_prompt: false, verbose: true, ...options });
  }

  // wllama has no call that tokenizes. But llama.cpp tokenizes a bias given for a text, and says in its settings what became of it; and
  // texts to preserve become single tokens, special ones among them. `examine` holds the count against the tokens that were fed.
  async tokens(text) {
    const parts = text.split(/(<[^<>\s]+>)/); // <|im_start|> of an LFM2, <start_of_turn> of a Gemma
    for (const part of parts.filter((_, index) => index % 2)) {
      if (!this.special.has(part)) {
        const settings = (await this.raw({ prompt: "a", preserved_tokens: [part] })).__verbose.generation_settings;
        this.special.set(part, settings.preserved_tokens[0]);
      }
    }
    const joined = [];
    parts.forEach((part, index) => {
      const token = index % 2 ? this.special.get(part) : undefined;
      if (token !== undefined) joined.push(token);
      else if (typeof joined.at(-1) === "string") joined.push(joined.pop() + part);
      else joined.push(part);
    });
    const bias = joined.map((part, index) => [part, index + 1]).filter(([part]) => part && typeof part === "string");
    const settings = (await this.raw({ prompt: "a", logit_bias: bias })).__verbose.generation_settings;
    const pieces = (place) => settings.logit_bias.filter((row) => row.bias === place).map((row) => row.token);
    return joined.flatMap((part, index) => (typeof part === "string" ? pieces(index + 1) : [part]));
  }
}

const GREEDY = { temperature: 0, repeat_penalty: 1, presence_penalty: 0, frequency_penalty: 0, dry_multiplier: 0 };
const silent = { debug() {}, log() {}, warn() {}, error() {} };
