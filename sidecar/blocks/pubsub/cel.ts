// Routing rules in CEL (https://cel.dev), compiled once when a subscription starts. The evaluator is loaded with the first rule
// that has an expression: most sidecars never need it. ADR 0004 says why this library.
import { type CelInput, celEnv, isCelError, parse, plan } from "@bufbuild/cel";
import { jsonMaxDepth } from "../../../lib/kit/limits.ts";

export type Predicate = (event: Readonly<Record<string, unknown>>) => boolean;

/**
 * Throws an Error with position and cause when `expression` is no CEL. The predicate throws when a name is not there, when types do not fit, and
 * when the result is not a boolean.
 */
export function compilePredicate(expression: string): Predicate {
  const evaluate = plan(celEnv(), parse(expression));
  return (event) => {
    const result = evaluate({ event: toCel(event, jsonMaxDepth) });
    if (isCelError(result)) throw new Error(result.message);
    if (typeof result !== "boolean") throw new Error(`the result of match expression ${expression} was not a boolean`);
    return result;
  };
}

/** JSON as CEL sees it: numbers are doubles, objects maps, so that no name reaches a prototype. */
function toCel(value: unknown, depth: number): CelInput {
  if (depth === 0) throw new Error(`the event is nested deeper than ${jsonMaxDepth} levels`);
  if (Array.isArray(value)) return value.map((item) => toCel(item, depth - 1));
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value as CelInput;
  const map = new Map<string, CelInput>();
  for (const [name, member] of Object.entries(value)) map.set(name, toCel(member, depth - 1));
  return map;
}
