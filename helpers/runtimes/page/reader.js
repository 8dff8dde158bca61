// Reads an answer exactly as helpers/triage.py does: same patterns (from config.json), same steps. A test runs both over many texts.
// It finds the level that the text gives. Where the text gives none, or two, it says so; it never guesses.

export function makeReader(patterns, levels) {
  const all = (name) => new RegExp(patterns[name], name === "thinkTag" ? "gi" : "gu");
  const withoutAccents = (text) => text.normalize("NFKD").replace(all("accents"), "");

  // A closing tag without its opening one hides everything before it; an opening tag never closed, everything after.
  function withoutThinking(text) {
    let pieces = [], last = 0, inside = false;
    for (const tag of text.matchAll(all("thinkTag"))) {
      if (tag[0][1] === "/") {
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
    return {
      level: named.length === 1 && named[0] in levels ? named[0] : null,
      contradictory: named.length > 1,
      numbers: numbers ? [...new Set(words("number", numbers.groups.rest))] : [],
    };
  };
}
