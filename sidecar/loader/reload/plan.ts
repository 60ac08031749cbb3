// What a listing means, compared with what is known: the changes, in the order in which they have to be made. Pure.
import type { Change, Listing, ResourceKind } from "./feed.ts";

/** Of each kind the names of what is there, with a digest of its content; components are compared later, with their secrets. */
export type Known = { readonly [K in ResourceKind]: ReadonlyMap<string, string> };

export const anyContent = "";

/**
 * Deleted ones first, so that a renamed resource has let go of what it held; secret stores before those whose secrets they hold.
 */
export function planListing(known: Known, listing: Listing, digestOf: (resource: object) => string): readonly Change[] {
  const deleted: Change[] = [];
  const updated: Change[] = [];
  const created: Change[] = [];
  for (const kind of ["Component", "Subscription", "Configuration", "HTTPEndpoint", "Resiliency"] as const) {
    const resources = listing[kind];
    if (resources === undefined) continue;
    const names = new Set<string>();
    for (const resource of resources) {
      const name = freeName(names, resource.name);
      names.add(name);
      const before = known[kind].get(name);
      if (before === undefined) created.push({ kind, type: "CREATED", name, resource } as Change);
      else if (before === anyContent || before !== digestOf(resource)) updated.push({ kind, type: "UPDATED", name, resource } as Change);
    }
    if (!listing.complete) continue;
    for (const name of known[kind].keys()) {
      if (!names.has(name)) deleted.push({ kind, type: "DELETED", name, resource: { name } } as Change);
    }
  }
  const stores = [...updated, ...created].filter(isSecretStore);
  return [...deleted, ...stores, ...[...updated, ...created].filter((change) => !isSecretStore(change))];
}

/** Names of subscriptions in files need not be unique; each counts. */
export function freeName(taken: { has(name: string): boolean }, name: string): string {
  let free = name;
  for (let again = 2; taken.has(free); again++) free = `${name}#${again}`;
  return free;
}

function isSecretStore(change: Change): boolean {
  return change.kind === "Component" && change.type !== "DELETED" && change.resource.type.startsWith("secretstores.");
}

/** Why the sidecar has to start anew for a change of a resource that is read at the start only; null: it has not. */
export function restartReason(known: ReadonlyMap<string, string>, change: Change, digest: string): string | null {
  const before = known.get(change.name);
  if (change.type === "DELETED" ? before === undefined : before === digest) return null;
  return `Received ${change.kind} ${change.type} event: ${change.name} - triggering SIGHUP reload`;
}
