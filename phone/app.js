import { Engine, Problem, canHash, compat, files, within } from "./engine.js";
import { makeReader } from "./reader.js";
import { redFlags } from "./redflags.js";

const WORDS = {
  missing: "No se ha podido descargar el modelo. Compruebe la conexión y vuelva a intentarlo.",
  truncated: "El modelo ha llegado incompleto y no se puede usar. Vuelva a descargarlo.",
  stalled: "La descarga se ha parado. Compruebe la conexión y vuelva a intentarlo.",
  crashed: "La última vez la página se cerró mientras cargaba el modelo. Puede que este dispositivo no tenga memoria suficiente.",
  own: "Esta página no trae ningún modelo: elija abajo un archivo GGUF.",
  corrupt: "El archivo del modelo está dañado y no se puede usar. Vuelva a descargarlo.",
  refused: "El modelo no ha podido arrancar en este navegador. Actualice el navegador, o abra la página en otro.",
  memory: "Este dispositivo no tiene memoria libre suficiente para el modelo. Cierre otras páginas y aplicaciones y vuelva a intentarlo.",
  "no-webassembly": "Este navegador no puede ejecutar el modelo (le falta WebAssembly). Abra la página en un navegador actual.",
  empty: "Escriba primero qué ocurre.",
  country: "Elija primero su país.",
  long: "El texto es demasiado largo. Cuéntelo en menos palabras.",
  broken: "El modelo ha fallado al responder y no ha dado ningún nivel. Vuelva a intentarlo.",
  cut: "La respuesta se ha cortado antes de terminar.",
  unread: "No he podido dar un nivel",
  contradictory: "El modelo se contradice.",
  nonumber: "Llame al número de emergencias de su país.",
  suicide:
    "No está solo ni sola en esto. Pida a alguien que se quede con usted; si se trata de otra persona, no la deje sola ni un momento. Aparte las pastillas, las armas y todo lo que pueda hacer daño.",
};
const CALL = "Si está preocupado por alguien, llame ya a emergencias.";
const INSECURE =
  "En esta dirección (http, sin cifrar) el navegador no permite guardar la página: solo funciona mientras el ordenador que la ofrece esté encendido. Para usarla sin conexión, ábrala en localhost o por https.";
const KEPT = "Está guardada en este dispositivo y funciona sin conexión. Añádala a la pantalla de inicio para tenerla a mano.";
const KEPT_FOR_NOW =
  "Está guardada en este dispositivo, pero el navegador puede borrarla si falta espacio o si no se usa durante un tiempo. Añádala a la pantalla de inicio y ábrala de vez en cuando.";
const OWN = "El modelo es un archivo suyo que la página no guarda: elíjalo de nuevo cada vez que la abra.";
const CHOSEN = "chosen-country"; // what the person chose; "country" may hold a guess of an earlier page
const MODEL = "chosen-model", LOADING = "loading-model"; // the second stays behind when the page dies while it loads
const $ = (id) => document.getElementById(id);
const show = (id, text) => {
  $(id).textContent = text;
  $(id).hidden = !text;
};

let config, model, read, engine, loading, cancel, flags = [];
const settings = new URLSearchParams(location.search);
const patience = 1000 * (Number(settings.get("patience")) || 30);

// ---------------------------------------------------------------------------------------------------- the emergency number
function element(name, text, attributes = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, attributes);
}

function callLink(number) {
  return element("a", number, { href: `tel:${number}` });
}

// In the order of `numbers`: an object would put its keys in an order of its own.
function callButtons(row, crisis = false) {
  const services = row ? row.numbers.map((number) => [number, row.services[number]]) : [];
  if (crisis && row?.crisis_line) services.push([row.crisis_line, "atención a la conducta suicida"]);
  if (!services.length) return [element("p", WORDS.nonumber, { className: "nonumber" })];
  return services.map(([number, service]) => {
    const link = element("a", `Llamar al ${number}`, { href: `tel:${number}`, className: "call" });
    link.append(element("span", service));
    return link;
  });
}

// The country is asked for and never guessed: a traveller's telephone speaks the language of home, and a wrong number costs minutes.
function listCountries() {
  const rows = Object.entries(config.countries);
  $("country").append(
    element("option", "Elija…", { value: "", disabled: true }),
    ...rows.map(([code, { country }]) => element("option", country[0].toUpperCase() + country.slice(1), { value: code })),
  );
  $("country").value = rows.some(([code]) => code === recall(CHOSEN)) ? recall(CHOSEN) : "";
  $("country").addEventListener("change", () => {
    remember(CHOSEN, $("country").value);
    if ($("problem").textContent === WORDS.country) show("problem", "");
    clearAnswer(); // it was given for another country, with another number
    showNumbers();
  });
  showNumbers();
}

function showNumbers() {
  $("calls").replaceChildren(...callButtons(config.countries[$("country").value]));
  showRedFlags();
}

function showRedFlags() {
  const row = config.countries[$("country").value], suicide = flags.some(({ kind }) => kind === "suicidio");
  const calls = element("div", "", { className: "calls" });
  calls.append(...callButtons(row, suicide));
  $("redflag").replaceChildren(
    element("h2", "Esto puede ser grave: llame ahora"),
    calls,
    ...(row ? [] : [element("p", "Elija arriba su país y aquí verá el número.")]),
    element("p", `Ha escrito: ${flags.map(({ words }) => `«${words}»`).join(", ")}.`),
    element("p", "No espere la respuesta de esta página.", { className: "now" }),
    ...(suicide ? [element("p", WORDS.suicide)] : []),
  );
  $("redflag").hidden = !flags.length;
}

function showMeasured() {
  if (!config.measured) return; // the page already says that nothing was measured
  const { accuracy, missedUrgency } = config.measured, percent = (share) => Math.round(100 * share);
  $("measured").replaceChildren(
    element("strong", "Esta página se equivoca a menudo."),
    ` En ${accuracy.n} mensajes de prueba acertó el nivel en el ${percent(accuracy.value)}\u00a0%` +
      ` (entre el ${percent(accuracy.low)} y el ${percent(accuracy.high)}\u00a0%).` +
      ` De ${missedUrgency.n} personas graves, a ${percent(missedUrgency.value)} de cada 100 no les avisó de que lo estaban` +
      ` (entre ${percent(missedUrgency.low)} y ${percent(missedUrgency.high)}). Se midió antes de comprimir el modelo.`,
  );
}

function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {} // a private window may refuse
}

// ---------------------------------------------------------------------------------------------------- getting ready
// Asks the service worker to keep all of the page. Never an obstacle: without it the page works as long as its server does.
async function keepOnDevice() {
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker.addEventListener("message", ({ data }) => {
    if (!engine) show("status", `Guardando en este dispositivo… ${Math.round(data.kept * 100)} %`);
  });
  const asked = new URLSearchParams({ engine: compat ? "compat" : "plain", model: model.file, patience: patience / 1000 });
  try {
    const registration = await within(patience, navigator.serviceWorker.register(`sw.js?${asked}`));
    registration.addEventListener("updatefound", () => noticeUpdate(registration));
    const isOurs = registration.active?.scriptURL === new URL(`sw.js?${asked}`, location).href; // another model, another address
    if (!isOurs) await activated(registration.installing ?? registration.waiting);
    if (registration.waiting) noticeUpdate(registration);
    await navigator.storage?.persist?.().catch(() => {});
  } catch {}
}

// Is all of it there? The promise "without a connection" stands on what is read from a cache again, not on what was put into it.
async function isKept() {
  if (!navigator.serviceWorker?.controller) return false;
  const bytesIn = async (cache, path) => (await (await cache.match(path))?.blob())?.size;
  const holdsAll = async (cache) => {
    for (const path of [...config.files, "config.json", "engine/wllama.js", ...files]) if (!(await bytesIn(cache, path))) return false;
    return (await bytesIn(cache, model.file)) === model.bytes;
  };
  for (const name of await ownCaches()) if (await holdsAll(await caches.open(name))) return true;
  return false;
}

function activated(worker) {
  return new Promise((resolve, reject) => {
    const look = () => (worker.state === "activated" ? resolve() : worker.state === "redundant" && reject(new Error("refused")));
    worker.addEventListener("statechange", look);
    look();
  });
}

function noticeUpdate({ active, installing, waiting }) {
  if (active && active.scriptURL === (waiting ?? installing)?.scriptURL) $("offline").textContent = "Hay una versión nueva: cierre esta página y vuelva a abrirla.";
}

async function prepare() {
  show("trouble", "");
  for (const id of ["again", "anyway", "smaller"]) $(id).hidden = true;
  try {
    if (!model) throw new Problem("own");
    if (recall(LOADING) === model.file) throw new Problem("crashed");
    if (!model.blob) await keepOnDevice();
    if (wantedThreads() > 1 && !crossOriginIsolated && navigator.serviceWorker?.controller && !sessionStorage.isolating) {
      sessionStorage.isolating = "tried"; // the service worker adds the headers: they count from the next opening
      location.reload();
      await new Promise(() => {});
    }
    remember(LOADING, model.file);
    engine = await Engine.load(config, model, {
      threads: crossOriginIsolated ? wantedThreads() : 1,
      patience,
      onProgress: (share) => show("status", `Cargando el modelo… ${Math.round(share * 100)} %`),
    });
    remember(LOADING, null);
    await showStorage();
    showFacts();
  } catch (error) {
    const kind = error instanceof Problem ? error.message : "refused";
    if (kind !== "crashed") remember(LOADING, null);
    show("status", "");
    show("trouble", `${WORDS[kind]} ${CALL}`);
    offerWays(kind);
    document.body.dataset.ready = kind;
    throw error;
  }
}

async function showStorage() {
  const kept = await isKept().catch(() => false);
  const lasting = kept && (await navigator.storage?.persisted?.().catch(() => false));
  show("status", lasting ? "Listo. Funciona también sin conexión." : kept ? "Listo. De momento funciona también sin conexión." : "Listo.");
  if (!$("offline").textContent) {
    $("offline").textContent = model.blob
      ? OWN
      : lasting
      ? KEPT
      : kept
        ? KEPT_FOR_NOW
        : isSecureContext
          ? "El navegador no ha permitido guardar la página en este dispositivo: no funcionará sin conexión."
          : INSECURE;
  }
  document.body.dataset.ready = kept ? "offline" : "online";
}

// What a person can do about it: download again, load in spite of the crash, or take a smaller file where there is one.
function offerWays(kind) {
  const smaller = config.models[config.models.indexOf(model) + 1];
  $("again").hidden = ["no-webassembly", "crashed", "own"].includes(kind) || Boolean(model?.blob);
  $("anyway").hidden = kind !== "crashed";
  $("smaller").hidden = !(smaller && ["crashed", "memory", "refused"].includes(kind));
  if (smaller) $("smaller").textContent = `Usar el archivo más pequeño (${megabytes(smaller)})`;
}

// A page without a model runs a file of its reader's. It is read where it lies, and nobody knows its hash.
function takeOwn() {
  const [blob] = $("file").files;
  if (!blob) return;
  model = { name: blob.name, file: blob.name, bytes: blob.size, sha256: "", blob };
  $("own").hidden = true;
  show("status", "Cargando el modelo…");
  ready().catch(() => ($("own").hidden = false)); // refused: another file may do
}

function loadAnyway() {
  remember(LOADING, null);
  ready().catch(() => {});
}

function takeSmaller() {
  remember(MODEL, config.models[config.models.indexOf(model) + 1].file);
  remember(LOADING, null);
  location.reload();
}

// Threads need an isolated page, and pay only where a token takes long: a small model waits longer for them.
function wantedThreads() {
  const most = model.bytes > 100e6 ? Math.min(4, Math.ceil((navigator.hardwareConcurrency || 1) / 2)) : 1;
  return Number(settings.get("threads")) || most;
}

function ready() {
  return (loading ??= prepare().catch((error) => {
    loading = null; // here, not in `prepare`: it may fail before its promise is assigned
    throw error;
  }));
}

// The caches of this page: its origin may hold other ones.
async function ownCaches() {
  const ours = `triage ${new URL("./", location).href} `;
  return ((await globalThis.caches?.keys()) ?? []).filter((name) => name.startsWith(ours));
}

async function downloadAgain() {
  for (const name of await ownCaches()) await caches.delete(name);
  await (await navigator.serviceWorker?.getRegistration())?.unregister();
  location.reload();
}

function megabytes({ bytes }) {
  return `${(bytes / 1e6).toLocaleString("es", { maximumFractionDigits: 1 })} MB`;
}

function showFacts() {
  const facts = {
    Modelo: `${model.name}, ${megabytes(model)}`,
    Huella: model.blob ? "no comprobada: archivo propio" : `${model.sha256.slice(0, 16)}${canHash ? "" : " (no comprobada: conexión sin cifrar)"}`,
    Motor: `llama.cpp ${engine.version}${compat ? " (compatible)" : ""}, ${engine.threads === 1 ? "1 hilo" : `${engine.threads} hilos`}`,
  };
  $("facts").replaceChildren(...Object.entries(facts).flatMap(([term, fact]) => [element("dt", term), element("dd", fact)]));
}

// ---------------------------------------------------------------------------------------------------- question and answer
function messages(text, country) {
  const words = { text, country: config.countries[country].country };
  return [
    { role: "system", content: config.prompt.system },
    { role: "user", content: config.prompt.user.replace(/\{(text|country)\}/g, (_, name) => words[name]) },
  ];
}

function clearAnswer() {
  for (const id of ["answer", "level", "warning"]) $(id).hidden = true;
  $("text").replaceChildren();
}

function writeLines(text) {
  $("text").replaceChildren(
    ...text.split("\n").map((line) => {
      const [, heading, rest] = /^([^:]{3,40}:)(.*)$/.exec(line) ?? [null, "", line];
      const paragraph = element("p", "");
      paragraph.append(element("strong", heading), rest);
      return paragraph;
    }),
  );
}

// A level is shown only once the whole answer is there, because only then is it known that the answer does not give two.
function showLevel({ text, reason }) {
  const reading = read(text), row = config.countries[$("country").value];
  const contradictory = reading.contradictory || reading.nameAgrees === false;
  const level = contradictory ? undefined : config.levels[reading.level];
  const [word, despite, action, means, again] = $("level").children;
  word.replaceChildren(level ? reading.level : WORDS.unread, ...(level ? [element("span", level.name)] : []));
  means.textContent = level ? level.means : `${contradictory ? WORDS.contradictory : ""} Eso no quiere decir que no sea grave.`.trim();
  action.textContent = level ? `${whatToDo(level, row)}.` : "Llame y pregunte.";
  // The red levels say so by themselves; for a level that sends nobody to the telephone the words that were written count for more.
  despite.textContent = `Aunque el modelo diga ${reading.level}, por lo que ha escrito: llame.`;
  despite.hidden = !(level && !level.call_first && flags.length);
  const numbers = row.numbers.flatMap((number, place) => [place ? " o al " : "al ", callLink(number)]);
  again.replaceChildren("Si duda o empeora, llame ", ...(numbers.length ? numbers : [row.call]), ".");
  for (const name of ["", "-ink"]) $("level").style.removeProperty(`--level${name}`);
  delete $("level").dataset.level;
  if (level) {
    $("level").style.setProperty("--level", level.color);
    $("level").style.setProperty("--level-ink", ink(level.color));
    $("level").dataset.level = reading.level;
  }
  $("level").hidden = false;
  show("warning", `${reason === "length" ? WORDS.cut : ""} ${aboutNumbers(reading, row)}`.trim());
  $("level").focus({ preventScroll: true });
  bringUp(flags.length ? "redflag" : "level");
}

// Black or white, whichever is easier to read on a colour (WCAG's luminance and contrast).
function ink(color) {
  const channels = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
  const [red, green, blue] = channels.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  return 1.05 / light >= light / 0.05 ? "#ffffff" : "#000000";
}

// The page does not know the clinical picture, so where a level may ask to call first it always does.
function whatToDo(level, row) {
  return (level.call_first ?? level.action).replace(/\{(call|place)\}/g, (_, name) => row[name]);
}

function aboutNumbers({ numbers, called }, row) {
  const foreign = [...new Set([...numbers, ...called])].filter((number) => ![...row.numbers, row.crisis_line].includes(number));
  if (!foreign.length) return "";
  const written = `El número ${foreign.join(", ")} que escribe el modelo`;
  return row.numbers.length
    ? `${written} no es el de ${row.country}: use el ${row.numbers.join(" o el ")}.`
    : `${written} puede no ser el de su país. ${WORDS.nonumber}`;
}

function bringUp(id) {
  $(id).scrollIntoView({ block: "start", behavior: "instant" });
}

function busy(on) {
  $("cancel").hidden = !on;
  $("ask").disabled = $("selftest").disabled = on;
  $("answer").setAttribute("aria-busy", on);
}

async function ask(event) {
  event.preventDefault();
  if (cancel) return;
  const text = $("question").value.trim();
  const problem = !text ? "empty" : !$("country").value ? "country" : null;
  show("problem", problem ? WORDS[problem] : "");
  clearAnswer();
  flags = redFlags(text); // before the model, before the country: whoever wrote such words should not wait for either
  showRedFlags();
  if (flags.length) bringUp("redflag");
  if (problem) return $(problem === "country" ? "country" : "question").focus({ preventScroll: flags.length > 0 });
  cancel = new AbortController();
  busy(true);
  try {
    await ready();
    show("status", "Pensando…");
    $("answer").hidden = false;
    const answer = await engine.answer(messages(text, $("country").value), config.maxNewTokens, {
      onText: writeLines,
      signal: cancel.signal,
    });
    writeLines(answer.text);
    show("status", "");
    showLevel(answer);
  } catch (error) {
    if (document.body.dataset.ready in WORDS) return; // the model is not there, and `prepare` has said why
    clearAnswer();
    show("status", error?.name === "AbortError" ? `Consulta cancelada: no se ha dado ningún nivel. ${CALL}` : "");
    if (error?.name !== "AbortError") await recover(error);
  } finally {
    cancel = null;
    busy(false);
  }
}

async function recover(error) {
  const long = /context/i.test(error?.message ?? "");
  show("problem", `${WORDS[long ? "long" : "broken"]} ${CALL}`);
  if (!long) {
    await engine.close();
    engine = loading = null; // loaded anew with the next question
  }
}

// ---------------------------------------------------------------------------------------------------- self-test
async function selfTest() {
  busy(true);
  cancel = new AbortController();
  const said = $("selftest-status");
  delete said.dataset.done;
  try {
    await ready();
    const test = await (await fetch("selftest.json")).json();
    const { name, bytes, sha256 } = model;
    const result = { format: 1, runtime: `wllama ${config.engine} (${engine.version})`, model: { name, bytes, sha256 }, replies: [] };
    for (const item of test.items) {
      said.textContent = `Pregunta ${result.replies.length + 1} de ${test.items.length}…`;
      result.replies.push(await engine.examine(item, test.max_new_tokens));
      if (cancel.signal.aborted) throw new Error("cancelada");
    }
    const address = URL.createObjectURL(new Blob([JSON.stringify(result)], { type: "application/json" }));
    element("a", "", { href: address, download: "autocomprobacion.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    said.textContent = `Hecho: ${test.items.length} respuestas guardadas en autocomprobacion.json.`;
    said.dataset.done = "saved";
  } catch (error) {
    said.textContent = `La autocomprobación no ha terminado (${error?.message ?? error}).`;
    said.dataset.done = "failed";
  } finally {
    cancel = null;
    busy(false);
  }
}

// ---------------------------------------------------------------------------------------------------- start
async function start() {
  try {
    config = await (await fetch("config.json", { signal: AbortSignal.timeout(patience) })).json();
  } catch {
    document.body.dataset.ready = "missing";
    $("again").hidden = false;
    $("again").addEventListener("click", () => location.reload());
    return show("trouble", `${WORDS.missing} ${CALL}`);
  }
  model = config.models.find(({ file }) => file === recall(MODEL)) ?? config.models[0];
  addEventListener("pagehide", () => remember(LOADING, null)); // left in good order: no crash
  read = makeReader(config.reader, config.levels);
  listCountries();
  showMeasured();
  $("form").addEventListener("submit", ask);
  $("question").addEventListener("input", () => show("problem", ""));
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
  });
  $("cancel").addEventListener("click", () => cancel?.abort());
  $("again").addEventListener("click", downloadAgain);
  $("anyway").addEventListener("click", loadAnyway);
  $("smaller").addEventListener("click", takeSmaller);
  $("selftest").addEventListener("click", selfTest);
  $("file").addEventListener("change", takeOwn);
  $("own").hidden = Boolean(model);
  await ready().catch(() => {});
}

start();
