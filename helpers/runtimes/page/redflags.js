// Words for which nobody should wait for a model. A plain list, read before the model is asked and never overruled by it.
// It over-reacts on purpose: "no me duele el pecho" and "antes me dolía" count as well, because a needless card costs a glance
// and a missing one may cost a life.

// Patterns stand on text in lower case without accents, where everything but a letter or digit is a blank. "…" is up to four words
// in between, "~" the rest of a word. Common misspellings are in (desmallo, aogo, combulsion, inconciente, kiero).
const BODY = "(medio cuerpo|mitad del cuerpo|un lado|lado (izquierdo|derecho)|brazo~|bracito|pierna~|mano|cara)";
const FLAGS = {
  corazon: [
    "(dolor~|duel~|doli~|pre[sc]ion~|opre~|opri~|apriet~|apret~|pes[ao]~|ard~|quem~|punza~|puntada~|pinchazo~|aplast~|molest~)… (pecho|esternon|torax|corazon)",
    "(pecho|esternon|torax|corazon)… (dolor~|duel~|doli~|pre[sc]ion~|opre~|opri~|apriet~|apret~|pes[ao]~|ard~|quem~|cerrad~|aplast~|punza~)",
    "(dolor~|duel~|dorm~|adorm~|corre~|baja~)… brazo izquierdo",
    "infart~",
    "paro (cardiaco|cardiorespiratorio|cardiorrespiratorio)",
  ],
  respiracion: [
    "(no|ni|apenas|casi|cuest~|costando|dificult~|dificil|trabajo|batall~|sin|mal|problema~)… re[sp]+ir~",
    "respira~… (mal|rapido|raro|agitad~|dificultad|cort~|ronc~)",
    "ah?o[gj](o|a|ue)~",
    "asfixi~|boque[ao]~",
    "(no|falt~|sin|jal~|poco)… (aire|oxigeno|aliento)",
    "(labi~|boca|cara|lengua)… (morad~|azul~|violet~)",
    "(morad~|azul~|violet~)… (labi~|boca|cara|lengua)",
    "(puso|pone|poniendo~|esta|todo|toda) azul~",
    "atragant~",
    "(silb~|chill~|pit~|ronqu~|ronc[oa]|ruido)… (pecho|respir~|aire)",
    "no… (saliva|babas?)",
    "(atasc~|ator~)… garganta",
    "no… (hablar|habla) de corrido",
  ],
  ictus: [
    "(boca|cara|rostro|sonrisa|labio)… (chuec~|torc~|torid~|tuerc~|de lado|de un lado|a un lado|ladead~|desvi~|caid~|colgad~|colgando|virad~|jalad~)",
    "(torci~|tuerc~|chuec~|desvi~|caid~|cayo)… (boca|cara|rostro)",
    `(no|ni|sin|dej~)… (sient~|sent~|mue[vb]~|mo[vb]er~|mo[vb]i~|levant~|fuerza~)… ${BODY}`,
    `(perdi~|falta~|sin|debil~)… (fuerza~|sensibilidad)… ${BODY}`,
    `(dormid~|durmi~|adorm~|entum~|acalambr~|parali~|debil~)… ${BODY}`,
    `${BODY}… (dormid~|durmi~|adorm~|entum~|parali~|debil~|sin fuerza~|no… (sient~|mue[vb]~|respond~))`,
    "parali~",
    "(traba~|enred~|arrastr~|dormid~|pesad~)… lengua",
    "lengua… (traba~|enred~|arrastr~|dormid~|pesad~)",
    "habl(a|ar|ando|o|aba)… (rar~|mal|enred~|trabad~|arrastr~|extran~|borracho|incoheren~|pastos~)",
    "(no|ni|cuesta|dificult~|puede)… (hablar|habla)",
    "no… (salen|sale|encuentra)… (palabras|voz)",
    "no se (le )?entiende~",
    "(dio|dado|tuvo|tenido|tiene)… (derrame|embolia)",
    "derrame cerebral|ictus|acv|trombosis|aneurisma",
    "(peor|mas fuerte)… (dolor de cabeza|cabeza)… vida",
    "(dolor|duele)… cabeza… (de golpe|de repente|de pronto|repentin~|subit~|explot~|estall~|insoportable)",
    "(de golpe|de repente|de pronto|repentin~)… (dolor|duele)… cabeza",
    "(no ve~|dej~ de ver|perdi~)… (vista|vision|nada|ojo~)",
  ],
  suicidio: [
    "([qk]ui?er~|[qk]isier~|quisier~|gana~|dese~|pens~|piens~|idea~|mejor|voy a|prefer~|prefier~|intent~)… (morir~|muert~|matar~|desaparecer|no despertar)",
    "(quit~|kit~|acab~|termin~)… vida",
    "(no|sin|ni)… (vivir|viviendo|seguir viv~)",
    "suicid~",
    "matarme|matarse|ahorcar~|colgarme|colgarse|degollar~",
    "cort~… (venas|munecas)",
    "(hacer~|hago|hizo)… dano",
    "(acabar|terminar)… (con todo|conmigo)",
    "no… (quiero|kiero|quiere) (despertar|seguir)",
    "mejor sin mi",
    "(tirarme|tirarse|lanzarme|lanzarse|aventarme|aventarse|saltar)… (puente|balcon|ventana|azotea|metro|tren|edificio|techo)",
  ],
  sangrado: [
    "sangr~… (much~|no para~|no se para~|no para de|sin parar|chorr~|abundante~|no se detiene|no deja~|harto|bastante)",
    "(no|sin)… (para~|deja~|detien~|cort~)… (sangr~)",
    "(much~|bastante|harta|charco~|chorr~|perdi~|pierd~)… sangr~",
    "(vomit~|devolv~|devuelv~|escup~|tos~)… sangre",
    "sangre… (vomit~|tos~|escup~)",
    "(heces|caca|popo|evacu~|defec~|obr~|deposi~)… (sangre|negr~)",
    "a chorros?",
    "(fren~|par[ae]~|cort~|conten~)… sangr~",
    "sangre… (pura|borboton~|coagul~|cuajaron~|brinc~|salt~|empap~)",
    "cuajaron~|borboton~",
    "hemorragi~",
    "desangr~",
    "(arranc~|amput~|cercen~|volo)… (dedo~|mano|brazo|pie|pierna)",
  ],
  conciencia: [
    "(no|ni|nada)… (d[ei]s?pi?ert~|respond~|re[ac]+ion~|contest~|recono~)",
    "incon[sc]+ien~",
    "desma[yl]+~",
    "desvan~",
    "desplom~",
    "(perd~|pierd~)… (conocimiento|con[sc]+ien~|sentido)",
    "(cay~|fue) redond~",
    "co[nm][vb]ul[sc]~",
    "ataque~",
    "epilep~",
    "espuma~",
    "ojos… (blanco~|volte~|vuelta)",
    "(sacud~|tiembl~|temblando|tieso~|saltando|brincando)… (tod[oa]|enter[oa]|cuerpo)",
    "cuerpo… (sacud~|tieso)",
    "ni (con )?pelli[sz]c~|ni (abre|se mueve|se queja)",
    "no… pulso",
    "(azucar|glucosa|glucemia|glucometr~|aparat~)… [234][0-9]",
    "confund~|desorient~|delir~|desvari~",
    "(no hay|quien|imposible|cuesta)… desp[ie]+rt~",
  ],
  alergia: [
    "(hinch~|inflam~)… (lengua|labio~|cara|boca|parpado~)",
    "(lengua|labio~|cara|boca|garganta)… (hinch~|cerr~|cierr~)",
    "hinch~… garganta",
    "(cerr~|cierr~)… garganta",
    "anafila~",
    "(alergi~|ronch~|enronch~|habones|urticaria|avispa~|abeja~).*?(mare~|vomit~|devol~|nausea~|garganta|saliva|voz|pecho|aire|silb~|pita|me va)",
  ],
  embarazo: [
    "(embaraz~|encinta|gestante).*?(sangr~|manch~|dolor~|duele~|contracci~|liquido|agua~|fuente|no se mueve|convul~|cabeza|hinch~|cai~|golpe~|veo|pre[sc]ion)",
    "(sangr~|manch~|dolor~|duele~|contracci~|no se mueve|hinch~|cai~|golpe~).*?(embaraz~|encinta|gestante)",
    "romp~… (fuente|aguas|bolsa)",
    "(bebe|bebito|guagua|nino)… (no se mueve|ya viene|saliendo|sale)",
    "cordon… (sale|salio|afuera)",
  ],
  veneno: [
    "(trag~|tom~|ing[ie]r~|beb~)… (cloro|lejia|lavandina|acido|so[sd]a caustica|gasolina|nafta|petroleo|kerosen~|diluyente|thinner|detergente|insecticida|plaguicida|herbicida|gramoxone)",
    "trag~… (pasti[ly]+a~|pila~|bateria~|iman~|caja|frasco)",
    "se… tom~… pasti[ly]+as",
    "(tom~|met~)… (muchas|todas|todo|varias|demasiad~|monton|puno|punado|caja|frasco|blister)",
    "(muchas|todas|demasiadas|monton de|punado de|caja de|frasco de) pasti[ly]+as",
    "veneno~|envenen~|raticida~|mataratas",
    "sobre dosis|sobredos~",
    "intoxic~",
    "monoxido",
    "(fuga|olor|olia|escape)… gas",
    "(paso|pase|pasado|doble|mucha|demasiada)… (insulina|droga~|dosis|metadona|fentanilo|heroina|cocaina)",
    "(mord~|pic[oa]~)… (serpiente|culebra|vibora|alacran|escorpion)",
    "serpiente|vibora",
  ],
  herida: [
    "bala|balazo~|balea~|disparo~|disparar~",
    "apunal~|acuchill~|punalada~|navajazo~|machetazo~",
    "atropell~",
    "electrocut~|descarga electrica",
    "(cay~|cai)… (altura|techo|andamio|azotea|piso|balcon|barranco)",
  ],
};

const compiled = Object.entries(FLAGS).map(([kind, patterns]) => [
  kind,
  patterns.map((pattern) => {
    const spelled = pattern.replaceAll("…", "( [a-z0-9]+){0,4}?").replaceAll("~", "[a-z0-9]*").replaceAll(" ", " +");
    return new RegExp(`\\b(?:${spelled})\\b`);
  }),
]);

// The kinds found in a text, each with the words that gave it away, as they were written.
export function redFlags(text) {
  const written = text.normalize("NFC");
  const plain = written // of the same length, so that a place in one is the same place in the other
    .replace(/[À-ɏ]/g, (letter) => letter.normalize("NFD")[0])
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    .replace(/[^a-z0-9]/g, " ");
  return compiled.flatMap(([kind, patterns]) => {
    const found = patterns.map((pattern) => pattern.exec(plain)).find(Boolean);
    return found ? [{ kind, words: written.slice(found.index, found.index + found[0].length) }] : [];
  });
}
