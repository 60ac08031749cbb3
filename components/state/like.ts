// LIKE patterns of keysLike (`%` any text, `_` any one character, `\` takes the next one literally) for stores that match by themselves.

const parts = /\\?[\s\S]/gu;

/** A regular expression for whole keys. */
export function likePattern(pattern: string): RegExp {
  const source = pattern.replace(parts, (part) => {
    if (part === "%") return ".*";
    if (part === "_") return ".";
    return RegExp.escape(literal(part));
  });
  return new RegExp(`^${source}$`, "su");
}

/** A glob that matches at least the same keys, for servers that know globs over bytes: `_` becomes `*`, since a character may be several bytes. */
export function likeGlob(pattern: string): string {
  return pattern.replace(parts, (part) => {
    if (part === "%" || part === "_") return "*";
    return literal(part).replace(/[*?[\]\\^]/, (special) => `\\${special}`);
  });
}

function literal(part: string): string {
  return part.length > 1 && part.startsWith("\\") ? part.slice(1) : part;
}
