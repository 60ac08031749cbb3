// Key prefixes (inventory §5.1): the component's `keyPrefix` decides whose keys an app sees. Compiled once per store to a string.

const separator = "||";

export interface KeyOwner {
  readonly appId: string;
  /** NAMESPACE as given; empty when it was not. */
  readonly namespace: string;
  readonly storeName: string;
}

/** Keys and prefixes that hold the separator could reach into another app's keys. */
export function isLegalKey(key: string): boolean {
  return !key.includes(separator);
}

/** What stands before every key of the store. `strategy` undefined is the default, `appid`; a literal prefix is lower-cased, as Dapr does. */
export function keyPrefixOf(strategy: string | undefined, owner: KeyOwner): string {
  const name = (strategy ?? "appid").toLowerCase();
  if (name === "none") return "";
  if (name === "name") return owner.storeName + separator;
  if (name !== "appid" && name !== "namespace") return name + separator;
  if (owner.appId === "") return "";
  return name === "namespace" && owner.namespace !== "" ? `${owner.namespace}.${owner.appId}${separator}` : owner.appId + separator;
}

/** The problem of a component's `keyPrefix`, or null: for the loader, which refuses the component. */
export function keyPrefixProblem(strategy: string | undefined): string | null {
  return strategy === undefined || isLegalKey(strategy)
    ? null
    : `input key/keyPrefix '${strategy.toLowerCase()}' can't contain '${separator}'`;
}
