// Reads an answer exactly as helpers/triage.py does: same patterns (from config.json), same steps. A test runs both over many texts.
// It finds the level that the text gives. Where the text gives none, or two, it says so; it never guesses.

export function makeReader(patterns, levels) {
  const all = (name) => new RegExp(patterns[name], name === "thinkTag" ? "gi" : "gu");
  const withoutAccents = (text) => text.normalize("NFKD").replace(all("accents"), "");

  // A closing tag without its opening one hides everything before it; an opening tag never closed, everything after.
  function withoutThinking(text) {
    let pieces = [], last = 0, inside = false;
    for (const tag of text.matchAll(all("thinkTag"))) {
      if (tag.groups.close) {
        if (!inside) pieces = [];
        inside = false;
      } else if (!inside) {
        pieces.push(text.slice(last, tag.index));
        inside = true;
      }
      last = tag.index + tag[0].length;
    }
    return pieces.join("") + (inside ? "" : text.slice(last));
  }

  // Does the level line name the level rightly ("ROJO — Emergencia")? null without a level line or a name in it.
  function nameAgrees(level, plain) {
    const line = all("levelLine").exec(plain);
    if (level === null || !line) return null;
    const rest = [...line.groups.rest.replace(all("levelWord"), " ")], around = [...patterns.roundAName];
    while (rest.length && around.includes(rest[0])) rest.shift();
    while (rest.length && around.includes(rest.at(-1))) rest.pop();
    const name = rest.join("");
    return name ? name === withoutAccents(levels[level].name).toLowerCase() : null;
  }

  return function read(text) {
    const answer = withoutAccents(withoutThinking(text));
    const plain = answer.toLowerCase();
    const words = (name, where) => [...where.matchAll(all(name))].map((found) => found[0]);
    let given = [...plain.matchAll(all("levelLine"))].flatMap((line) => words("levelWord", line.groups.rest));
    if (!given.length) {
      const alone = all("levelAlone").exec(plain);
      given = alone ? [alone[1]] : words("levelWordShouted", answer);
    }
    const named = [...new Set(given.map((word) => word.toUpperCase()))];
    const numbers = all("numbersLine").exec(plain);
    const level = named.length === 1 ? named[0] : null;
    return {
      level,
      contradictory: named.length > 1,
      nameAgrees: nameAgrees(level, plain),
      numbers: numbers ? [...new Set(words("number", numbers.groups.rest))] : [],
      called: [...new Set([...plain.matchAll(all("called"))].map((found) => found[1]))],
    };
  };
}
