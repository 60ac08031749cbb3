// The verbs of the secrets API. No value ever stands in a log line or an error.
import type { Secret, SecretStore } from "../../../components/secrets/store.ts";
import { apiError, messageOf } from "../../../lib/kit/errors.ts";
import { secretErrors } from "./errors.ts";
import type { SecretsPorts } from "./ports.ts";
import { compileScopes } from "./scopes.ts";

/** The kind that resiliency names secret stores by. */
const policyKind = "Secretstore";

type Metadata = Readonly<Record<string, string>>;
export type SecretsVerbs = ReturnType<typeof createSecretsVerbs>;

export function createSecretsVerbs({ stores, scopes, policies, log }: SecretsPorts) {
  const isAllowed = compileScopes(scopes);

  const find = (name: string): SecretStore => {
    const loaded = stores.get(name);
    if (loaded !== undefined) return loaded.driver;
    throw stores.size === 0 ? apiError(secretErrors.storesNotConfigured) : apiError(secretErrors.storeNotFound, [name]);
  };
  const denied = (storeName: string, name: string) =>
    apiError(secretErrors.permissionDenied, [JSON.stringify(name), JSON.stringify(storeName)]);

  return {
    async get(storeName: string, name: string, metadata: Metadata, signal: AbortSignal): Promise<Secret> {
      const store = find(storeName);
      if (!isAllowed(storeName, name)) throw denied(storeName, name);
      const policy = policies.outbound(storeName, policyKind);
      const read = (abort: AbortSignal) => store.get(name, metadata, abort);
      try {
        return await (policy === null ? read(signal) : policy.run(read, signal));
      } catch (error) {
        throw apiError(secretErrors.get, [name, storeName, messageOf(error)], { cause: error });
      }
    },

    /** All secrets of the store that the app may read. */
    async bulkGet(storeName: string, metadata: Metadata, signal: AbortSignal): Promise<ReadonlyMap<string, Secret>> {
      const store = find(storeName);
      const policy = policies.outbound(storeName, policyKind);
      const read = (abort: AbortSignal) => store.bulkGet(metadata, abort);
      try {
        const secrets = await (policy === null ? read(signal) : policy.run(read, signal));
        return new Map([...secrets].filter(([name]) => isAllowed(storeName, name) || noteDenied(storeName, name)));
      } catch (error) {
        throw apiError(secretErrors.bulkGet, [storeName, messageOf(error)], { cause: error });
      }
    },
  };

  function noteDenied(storeName: string, name: string): false {
    log.debug(denied(storeName, name).message);
    return false;
  }
}
