// What to do about one changed component, as (state, event) → [state, effects]. Pure.
// Invariants: 1. a component whose content is the same is left alone; 2. the old one is closed before the new one starts;
// 3. at most one actor state store: a second is turned away, and comes in as soon as the first is gone.
import { type Component, componentLogName } from "../../../lib/resources/component.ts";

export interface ComponentState {
  /** What runs, by name, with the digest of what it was started from. */
  readonly installed: ReadonlyMap<string, { readonly component: Component; readonly fingerprint: string }>;
  /** Name of the component that holds the actors' state; null: none, or no actors. */
  readonly actorStateStore: string | null;
  /** The store that was turned away last. */
  readonly skipped: Component | null;
}

export type ComponentEvent =
  | { readonly kind: "wanted"; readonly component: Component; readonly fingerprint: string }
  | { readonly kind: "unwanted"; readonly name: string }
  /** The effects of another event have been carried out. */
  | { readonly kind: "settled" };

export type ComponentEffect =
  | { readonly kind: "log"; readonly level: "debug" | "info" | "error"; readonly message: string }
  /** Drain and close; also forgets one that waits or has failed. */
  | { readonly kind: "close"; readonly name: string }
  | { readonly kind: "start"; readonly component: Component };

type Step = readonly [skipped: Component | null, effects: readonly ComponentEffect[]];

export function stepComponent(state: ComponentState, event: ComponentEvent): Step {
  switch (event.kind) {
    case "wanted":
      return wanted(state, event.component, event.fingerprint);
    case "unwanted":
      return [forget(state.skipped, event.name), [{ kind: "close", name: event.name }]];
    case "settled":
      return settled(state);
  }
}

function wanted(state: ComponentState, component: Component, fingerprint: string): Step {
  const { actorStateStore: holder, installed } = state;
  const { name } = component;
  const logName = componentLogName(component);
  if (holder !== null && holder !== name && isMarkedActorStateStore(component)) {
    const message =
      `Skipping hot reload of ${logName}: ${holder} is already the actor state store, only one actor state store is allowed. ` +
      `The component will be applied if ${holder} is removed`;
    return [component, [{ kind: "log", level: "error", message }]];
  }
  const skipped = forget(state.skipped, name);
  const old = installed.get(name);
  if (old?.fingerprint === fingerprint) {
    return [skipped, [{ kind: "log", level: "debug", message: `Component update skipped: no changes detected: ${logName}` }]];
  }
  const effects: ComponentEffect[] = [];
  if (old !== undefined) {
    effects.push({ kind: "log", level: "info", message: `Closing existing Component to reload: ${componentLogName(old.component)}` });
    effects.push({ kind: "close", name });
  }
  effects.push({ kind: "log", level: "info", message: `Adding Component for processing: ${logName}` });
  effects.push({ kind: "start", component });
  return [skipped, effects];
}

function settled({ actorStateStore, skipped }: ComponentState): Step {
  if (skipped === null || actorStateStore !== null) return [skipped, []];
  const message = `Applying previously skipped actor state store: ${componentLogName(skipped)}`;
  return [
    null,
    [
      { kind: "log", level: "info", message },
      { kind: "start", component: skipped },
    ],
  ];
}

function forget(skipped: Component | null, name: string): Component | null {
  return skipped?.name === name ? null : skipped;
}

/** By the presence of the mark: its value may be in a secret. */
function isMarkedActorStateStore({ type, metadata }: Component): boolean {
  return type.startsWith("state.") && metadata.some(({ name }) => name.toLowerCase() === "actorstatestore");
}
