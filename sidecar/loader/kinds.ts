// The kinds of components by the prefix of their type, and the words for a driver that does not exist.
import type { PubSub } from "../../components/pubsub/broker.ts";
import type { SecretStore } from "../../components/secrets/store.ts";
import type { StateStore } from "../../components/state/store.ts";

/** Kinds with a table; the others have their drivers with later issues. */
export interface DriverKinds {
  readonly state: StateStore;
  readonly pubsub: PubSub;
  readonly secretstores: SecretStore;
}

export type KindName = keyof DriverKinds;

const missing: ReadonlyMap<string, (type: string, version: string) => string> = new Map([
  ["state", (type, version) => `couldn't find state store ${type}/${version}`],
  ["pubsub", (type, version) => `couldn't find message bus ${type}/${version}`],
  ["secretstores", (type, version) => `couldn't find secret store ${type}/${version}`],
  ["bindings", (type, version) => `couldn't find output binding ${type}/${version}`],
  ["configuration", (type, version) => `couldn't find configuration store ${type}/${version}`],
  ["lock", (type, version) => `couldn't find lock store ${type}/${version}`],
  ["crypto", (type, version) => `couldn't find crypto provider ${type}/${version}`],
  ["conversation", (type, version) => `couldn't find conversation ${type}/${version}`],
  ["middleware", (type, version) => `HTTP middleware ${type}/${version} has not been registered`],
]);

/** The part of a type before its first dot, when it is a kind that Dapr knows. */
export function kindOfType(type: string): string | null {
  const dot = type.indexOf(".");
  const kind = dot < 0 ? "" : type.slice(0, dot);
  return missing.has(kind) ? kind : null;
}

export function missingDriverText(kind: string, type: string, version: string): string {
  return missing.get(kind)?.(type, version) ?? `couldn't find ${type}/${version}`;
}
