// The model: llama.cpp in WebAssembly, by way of wllama. It runs on this device; nothing that is asked leaves it.

import { Sha256 } from "./sha256.js";

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

async function download(path, onBytes) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new Problem("missing");
  }
  if (!response.ok) throw new Problem("missing");
  const parts = [], reader = response.body.getReader();
  try {
    for (let piece; !(piece = await reader.read()).done; ) {
      parts.push(piece.value);
      onBytes?.(piece.value);
    }
  } catch {
    throw new Problem("truncated");
  }
  return new Blob(parts, { type: path.endsWith(".wasm") ? "application/wasm" : "" }); // whatever the server calls it
}

// The model file, held against its size and hash before WebAssembly sees it: llama.cpp trusts what it is given.
async function downloadModel(model, onProgress) {
  const hash = new Sha256();
  let seen = 0;
  const blob = await download(model.file, (bytes) => {
    hash.update(bytes);
    onProgress((seen += bytes.length) / model.bytes);
  });
  if (blob.size < model.bytes) throw new Problem("truncated");
  if (blob.size > model.bytes || hash.hex() !== model.sha256) throw new Problem("corrupt");
  return blob;
}

export class Engine {
  static async load(config, { threads, onProgress = () => {} }) {
    if (typeof WebAssembly !== "object") throw new Problem("no-webassembly");
    const { Wllama } = await import("./engine/wllama.js").catch(() => {
      throw new Problem("missing");
    });
    const model = await downloadModel(config.model, onProgress);
    // Workers made from code do not ask the service worker in every browser, so they get the file and not its address.
    const [code, wasm] = await Promise.all([...(compat ? [] : [null]), ...files].map((path) => path && download(path)));
    const place = URL.createObjectURL(wasm);
    // wllama's own cache is left out: the service worker keeps the model, and on plain http wllama does not start with one.
    const attempt = async (count) => {
      const wllama = new Wllama({ default: place }, { suppressNativeLog: true, logger: silent, cacheManager: {} });
      wllama.setCompat(compat ? { worker: { code: await code.text() }, wasm: place } : null);
      try {
        await wllama.loadModel([model], {
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

  // The likeliest token each time, so that the same question gets the same answer, here and in every other runtime.
  async answer(messages, maxTokens, { onText = () => {}, signal, verbose = false } = {}) {
    let text = "", reason = "length", details = null;
    await this.wllama.createChatCompletion({
      messages, max_tokens: maxTokens, temperature: 0, cache_prompt: false, stream: true, verbose, abortSignal: signal,
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
    return this.wllama.createCompletion({ max_tokens: 1, temperature: 0, cache_prompt: false, verbose: true, ...options });
  }

  // wllama has no call that tokenizes. But llama.cpp tokenizes a bias given for a text, and says in its settings what became of it; and
  // texts to preserve become single tokens, special ones among them. `examine` holds the count against the tokens that were fed.
  async tokens(text) {
    const parts = text.split(/(<\|[^|<>]*\|>)/);
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

const silent = { debug() {}, log() {}, warn() {}, error() {} };
