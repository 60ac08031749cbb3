// The rules of one subscription as one function from event to path: first match wins, a rule without match always matches.
import type { RouteRule } from "./ports.ts";

export interface Router {
  /** The path of the event; null when no rule matches. Throws when a rule cannot be evaluated. */
  route(event: Readonly<Record<string, unknown>>): string | null;
}

interface Compiled {
  readonly path: string;
  readonly matches: ((event: Readonly<Record<string, unknown>>) => boolean) | null;
}

/** Rejects with the cause when a rule is not valid CEL. */
export async function compileRouter(rules: readonly RouteRule[]): Promise<Router> {
  const compiled: Compiled[] = [];
  for (const { match, path } of rules) {
    const expression = match.trim();
    if (expression === "") compiled.push({ path, matches: null });
    else {
      const { compilePredicate } = await import("./cel.ts");
      compiled.push({ path, matches: compilePredicate(expression) });
    }
  }
  return {
    route(event) {
      for (const { path, matches } of compiled) if (matches === null || matches(event)) return path;
      return null;
    },
  };
}
