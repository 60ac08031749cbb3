// The store of a cluster: the Secret and the ConfigMap `dapr-trust-bundle` of the control plane's namespace, which the chart
// makes empty. The Secret is the truth and changes as one; the ConfigMap repeats what everybody may read (anchors, key set)
// and is brought in line by every load and save, so that a crash between the two is made good.
import { basename } from "node:path";
import { ApiError, type KeyedData, type KubernetesApi } from "../kubernetes/api.ts";
import type { FilePaths } from "./disk.ts";
import { ConflictError, type CredentialKey, type CredentialStore, type Credentials, credentialKeys } from "./store.ts";

export const trustBundleName = "dapr-trust-bundle";

const publicKeys: readonly CredentialKey[] = ["anchors", "jwks"];

export type StoreApi = Pick<KubernetesApi, "keyed" | "patchKeyed">;

/** `names` are file names or paths; the last part names the key of the Secret. */
export function createKubernetesStore(api: StoreApi, namespace: string, names: FilePaths): CredentialStore {
  const nameOf = (key: CredentialKey): string => basename(names[key]);
  const read = (object: KeyedData): Credentials => {
    const found = credentialKeys.map((key) => [key, object.data.get(nameOf(key)) ?? ""] as const);
    return Object.fromEntries(found.filter(([, text]) => text !== ""));
  };
  const named = (credentials: Credentials, keys: readonly CredentialKey[]): Record<string, string> => {
    const given = keys.filter((key) => credentials[key] !== undefined);
    return Object.fromEntries(given.map((key) => [nameOf(key), credentials[key] as string]));
  };
  const keyed = async (kind: "secrets" | "configmaps", signal: AbortSignal): Promise<KeyedData> => {
    const object = await api.keyed(kind, namespace, trustBundleName, signal);
    if (object === null)
      throw new ApiError(404, `failed to get trust bundle: there is no ${kind} ${namespace}/${trustBundleName}; install the chart`);
    return object;
  };
  const publish = async (credentials: Credentials, signal: AbortSignal): Promise<void> => {
    const wanted = named(credentials, publicKeys);
    const { data } = await keyed("configmaps", signal);
    if (Object.entries(wanted).every(([name, text]) => data.get(name) === text)) return;
    await api.patchKeyed("configmaps", namespace, trustBundleName, wanted, null, signal);
  };
  return {
    description: `the Secret ${namespace}/${trustBundleName}`,
    async load(signal) {
      const secret = await keyed("secrets", signal);
      const credentials = read(secret);
      await publish(credentials, signal);
      return { credentials, version: secret.resourceVersion };
    },
    async save(credentials, version, signal) {
      const values = named(credentials, credentialKeys);
      const saved = await api.patchKeyed("secrets", namespace, trustBundleName, values, version || null, signal).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 409)
          throw new ConflictError(`the Secret ${trustBundleName} was changed by somebody else`);
        throw error;
      });
      await publish(credentials, signal);
      return saved;
    },
  };
}
