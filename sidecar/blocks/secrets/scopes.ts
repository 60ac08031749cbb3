// Which secrets an app may read (inventory §5.4): compiled once from the Configuration to one function per store.
import type { SecretScope } from "../../../lib/resources/configuration.ts";

export type SecretGate = (storeName: string, secretName: string) => boolean;

type Allows = (secretName: string) => boolean;

/** A store without a scope is open. A non-empty allow list is all there is; else the deny list, then the default. */
export function compileScopes(scopes: readonly SecretScope[]): SecretGate {
  const gates = new Map<string, Allows>(scopes.map((scope) => [scope.storeName, compile(scope)]));
  return (storeName, secretName) => gates.get(storeName)?.(secretName) ?? true;
}

function compile({ defaultAccess, allowedSecrets, deniedSecrets }: SecretScope): Allows {
  const allowed = new Set(allowedSecrets);
  if (allowed.size > 0) return (name) => allowed.has(name);
  const denied = new Set(deniedSecrets);
  const open = defaultAccess === "allow";
  return (name) => open && !denied.has(name);
}
