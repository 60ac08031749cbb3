// Which rule of a policy an operation falls under, in Dapr's way, since policies are written for it. Segments are matched
// one by one; of the rules that share a parent the one written first is tried first. A rule covers what lies below it too.
// A last `*` stands for one segment or none, `**` for any number, and `*` within a segment for any characters. A lone `*`
// that more segments follow stands for nothing: Dapr never gets past it (compile.ts finds such rules, to warn of them).

interface Branch<T> {
  readonly segment: string;
  readonly matches: (segment: string) => boolean;
  readonly branches: Branch<T>[];
  rule: T | null;
}

export class OperationTree<T> {
  readonly #roots: Branch<T>[] = [];

  /** `operation` starts with a slash. Of two rules for the same operation the first counts. */
  add(operation: string, rule: T): void {
    let branches = this.#roots;
    const segments = operation.split("/").slice(1);
    segments.forEach((segment, at) => {
      let branch = branches.find((candidate) => candidate.segment === segment);
      if (branch === undefined) {
        branch = { segment, matches: matcherOf(segment), branches: [], rule: null };
        branches.push(branch);
      }
      if (at === segments.length - 1) branch.rule ??= rule;
      branches = branch.branches;
    });
  }

  /** The rule for `operation`, which starts with a slash, or null. */
  find(operation: string): T | null {
    let branches = this.#roots;
    const segments = operation.split("/").slice(1);
    for (const [at, segment] of segments.entries()) {
      const last = at === segments.length - 1;
      const branch = choose(branches, segment, last);
      if (branch === null) return null;
      if (branch.rule !== null && (last || branch.segment !== "*")) return branch.rule;
      // `/a` falls under `/a/*` too.
      if (last) return choose(branch.branches, "*", true)?.rule ?? null;
      branches = branch.branches;
    }
    return null;
  }
}

function choose<T>(branches: readonly Branch<T>[], segment: string, last: boolean): Branch<T> | null {
  for (const branch of branches) {
    if (branch.segment === segment) return branch;
    if (branch.segment === "*" ? last : branch.matches(segment)) return branch;
  }
  return null;
}

function matcherOf(pattern: string): (segment: string) => boolean {
  if (!pattern.includes("*")) return () => false;
  const parts = pattern.split("*");
  const first = parts[0] as string;
  const last = parts[parts.length - 1] as string;
  const middle = parts.slice(1, -1);
  return (segment) => {
    if (segment.length < first.length + last.length || !segment.startsWith(first) || !segment.endsWith(last)) return false;
    let at = first.length;
    for (const part of middle) {
      const found = segment.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= segment.length - last.length;
  };
}
