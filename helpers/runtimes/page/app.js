import { Engine, Problem, compat } from "./engine.js";
import { makeReader } from "./reader.js";
import { redFlags } from "./redflags.js";

const WORDS = {
  missing: "No se ha podido descargar el modelo. Compruebe la conexión y vuelva a intentarlo.",
  truncated: "El modelo ha llegado incompleto y no se puede usar. Vuelva a descargarlo.",
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
const CHOSEN = "chosen-country"; // what the person chose; "country" may hold a guess of an earlier page
const $ = (id) => document.getElementById(id);
const show = (id, text) => {
  $(id).textContent = text;
  $(id).hidden = !text;
};

let config, read, engine, loading, cancel, flags = [];
const settings = new URLSearchParams(location.search);

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
  if (crisis && row?.crisisLine) services.push([row.crisisLine, "atención a la conducta suicida"]);
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
      ` (entre ${percent(missedUrgency.low)} y ${percent(missedUrgency.high)}).`,
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
    localStorage.setItem(name, value);
  } catch {} // a private window may refuse
}

// ---------------------------------------------------------------------------------------------------- getting ready
// All of the page is on the device once this is true. Never an obstacle: without it the page works as long as its server does.
async function keepOnDevice() {
  if (!("serviceWorker" in navigator)) return false;
  navigator.serviceWorker.addEventListener("message", ({ data }) => {
    if (!engine) show("status", `Guardando en este dispositivo… ${Math.round(data.kept * 100)} %`);
  });
  try {
    const registration = await navigator.serviceWorker.register(`sw.js?engine=${compat ? "compat" : "plain"}`);
    registration.addEventListener("updatefound", () => noticeUpdate(registration));
    if (!registration.active) await activated(registration.installing ?? registration.waiting);
    if (registration.waiting) noticeUpdate(registration);
    navigator.storage?.persist?.().catch(() => {});
    return true;
  } catch {
    return false;
  }
}

function activated(worker) {
  return new Promise((resolve, reject) => {
    const look = () => (worker.state === "activated" ? resolve() : worker.state === "redundant" && reject(new Error("refused")));
    worker.addEventListener("statechange", look);
    look();
  });
}

function noticeUpdate(registration) {
  if (registration.active) $("offline").textContent = "Hay una versión nueva: cierre esta página y vuelva a abrirla.";
}

async function prepare() {
  show("trouble", "");
  $("again").hidden = true;
  try {
    const kept = await keepOnDevice();
    engine = await Engine.load(config, {
      threads: Number(settings.get("threads")) || threads(),
      onProgress: (share) => show("status", `Cargando el modelo… ${Math.round(share * 100)} %`),
    });
    show("status", kept ? "Listo. Funciona también sin conexión." : "Listo.");
    if (!$("offline").textContent) {
      $("offline").textContent = kept
        ? "Está guardada en este dispositivo y funciona sin conexión. Añádala a la pantalla de inicio para tenerla a mano."
        : isSecureContext
          ? "El navegador no ha permitido guardar la página en este dispositivo: no funcionará sin conexión."
          : INSECURE;
    }
    showFacts();
    document.body.dataset.ready = kept ? "offline" : "online";
  } catch (error) {
    loading = null;
    const kind = error instanceof Problem ? error.message : "refused";
    show("status", "");
    show("trouble", `${WORDS[kind]} ${CALL}`);
    $("again").hidden = kind === "no-webassembly";
    document.body.dataset.ready = kind;
    throw error;
  }
}

// Threads need an isolated page (the server's headers), and pay only where a token takes long: a small model waits longer for them.
function threads() {
  return crossOriginIsolated && config.model.bytes > 100e6 ? Math.min(4, Math.ceil((navigator.hardwareConcurrency || 1) / 2)) : 1;
}

function ready() {
  return (loading ??= prepare());
}

async function downloadAgain() {
  for (const name of (await globalThis.caches?.keys()) ?? []) await caches.delete(name);
  for (const row of (await navigator.serviceWorker?.getRegistrations()) ?? []) await row.unregister();
  location.reload();
}

function showFacts() {
  const { name, bytes, sha256 } = config.model;
  const facts = {
    Modelo: `${name}, ${(bytes / 1e6).toLocaleString("es", { maximumFractionDigits: 1 })} MB`,
    Huella: sha256.slice(0, 16),
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
    $("level").style.setProperty("--level-ink", level.ink);
    $("level").dataset.level = reading.level;
  }
  $("level").hidden = false;
  show("warning", `${reason === "length" ? WORDS.cut : ""} ${aboutNumbers(reading, row)}`.trim());
  $("level").focus({ preventScroll: true });
  bringUp(flags.length ? "redflag" : "level");
}

// The page does not know the clinical picture, so where a level may ask to call first it always does.
function whatToDo(level, row) {
  return (level.call_first ?? level.action).replace(/\{(call|place)\}/g, (_, name) => row[name]);
}

function aboutNumbers({ numbers, called }, row) {
  const foreign = [...new Set([...numbers, ...called])].filter((number) => ![...row.numbers, row.crisisLine].includes(number));
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
    const { name, bytes, sha256 } = config.model;
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
    config = await (await fetch("config.json")).json();
  } catch {
    document.body.dataset.ready = "missing";
    return show("trouble", `${WORDS.missing} ${CALL}`);
  }
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
  $("selftest").addEventListener("click", selfTest);
  await ready().catch(() => {});
}

start();
