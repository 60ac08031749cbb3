// Assembles the secrets block.
import type { Block } from "../../contract/block.ts";
import { secretMethods } from "./grpc.ts";
import { secretRoutes } from "./http.ts";
import type { SecretsPorts } from "./ports.ts";
import { createSecretsVerbs } from "./secrets.ts";

export function createSecretsBlock(ports: SecretsPorts): Block {
  const verbs = createSecretsVerbs(ports);
  return { name: "secrets", http: secretRoutes(verbs), grpc: secretMethods(verbs) };
}

/** Scopes for stores that do not exist are likely misspelt. To be called once the components are loaded. */
export function warnUnknownScopes({ scopes, stores, log }: Pick<SecretsPorts, "scopes" | "stores" | "log">): void {
  for (const { storeName } of scopes) {
    if (stores.get(storeName) === undefined) {
      log.warn(`Secrets configuration added for '${storeName}', but no matching secret store was found`);
    }
  }
}
