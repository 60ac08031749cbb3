// Policies that apply by their name alone, from the most special name to the most general.
import type { PolicyNames } from "../../lib/resources/resiliency.ts";
import type { ComponentKind } from "../contract/ports.ts";
import type { Catalog } from "./catalog.ts";

export type Direction = "Inbound" | "Outbound";

/** Levels for calls of apps. */
export const appLevels: readonly string[] = ["App", ""];

export function componentLevels(kind: ComponentKind, direction: Direction): readonly string[] {
  return [`${kind}Component${direction}`, `Component${direction}`, "Component", ""];
}

/** The defaults for these levels; null: there is none. */
export function defaultNames({ timeoutsMs, retries, breakers }: Catalog, levels: readonly string[]): PolicyNames | null {
  const first = (known: ReadonlyMap<string, unknown>, suffix: string) =>
    levels.map((level) => `Default${level}${suffix}`).find((name) => known.has(name)) ?? "";
  const timeout = first(timeoutsMs, "TimeoutPolicy");
  const retry = first(retries, "RetryPolicy");
  const circuitBreaker = first(breakers, "CircuitBreakerPolicy");
  return timeout === "" && retry === "" && circuitBreaker === "" ? null : { timeout, retry, circuitBreaker };
}
