// $VAR and ${VAR} in standalone configuration files, as Go's os.ExpandEnv reads them: an unset variable is empty, broken
// syntax is eaten, and a dollar before anything that cannot start a name stays.
type Environment = Readonly<Record<string, string | undefined>>;

const reference = /\$(?:\{([^}]*)(\})?|([A-Za-z0-9_]|[*#$@!?-])?)/g;
const word = /[A-Za-z0-9_]*/y;

export function expandEnvironment(text: string, env: Environment): string {
  let result = "";
  let at = 0;
  reference.lastIndex = 0;
  for (let match = reference.exec(text); match; match = reference.exec(text)) {
    result += text.slice(at, match.index);
    at = reference.lastIndex;
    const [whole, braced, closed, first] = match;
    if (braced !== undefined) {
      // Without its closing brace only `${` is eaten.
      if (closed === undefined) at = match.index + 2;
      else result += own(env, braced);
    } else if (first === undefined) result += whole;
    else {
      const name = /[A-Za-z_]/.test(first) ? wordAt(text, match.index + 1) : first;
      at = match.index + 1 + name.length;
      result += own(env, name);
    }
    reference.lastIndex = at;
  }
  return result + text.slice(at);
}

function wordAt(text: string, at: number): string {
  word.lastIndex = at;
  return word.exec(text)?.[0] ?? "";
}

function own(env: Environment, name: string): string {
  return Object.hasOwn(env, name) ? (env[name] ?? "") : "";
}
