// secretstores.kubernetes v1: Secrets of the cluster, read with the pod's service account or a kubeconfig (`kubeconfigPath`).
// The namespace is the request's `namespace`, else the sidecar's own, else `defaultNamespace`. The client, which takes
// tens of MB, is loaded with the first secret.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { KubeClient } from "../../lib/kube/client.ts";
import { arrayOf, objectOf, textOf } from "../../lib/kube/object.ts";
import { kubeResources } from "../../lib/kube/resource.ts";
import type { DriverContext } from "../driver.ts";
import { requestProperty } from "../metadata.ts";
import type { Secret, SecretFeature, SecretStore } from "./store.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface KubernetesSurroundings {
  readonly env: Environment;
  /** Null: where the surroundings say. */
  readonly open: (kubeconfig: string | null) => Promise<KubeClient>;
  readonly exists: (path: string) => boolean;
}

/** Secrets per answer of the API server. */
const pageSize = 500;

export function create(context: DriverContext, around: KubernetesSurroundings = realSurroundings(process.env)): SecretStore {
  const { properties } = context;
  const settings = { kubeconfig: properties.string("kubeconfigPath", ""), defaultNamespace: properties.string("defaultNamespace", "") };
  return new KubernetesSecrets(settings, around);
}

function realSurroundings(env: Environment): KubernetesSurroundings {
  return {
    env,
    exists: existsSync,
    async open(kubeconfig) {
      const { openKubeClient } = await import("../../lib/kube/client.ts");
      return openKubeClient(kubeconfig, env);
    },
  };
}

interface Settings {
  /** Empty: not given. */
  readonly kubeconfig: string;
  readonly defaultNamespace: string;
}

class KubernetesSecrets implements SecretStore {
  readonly features: readonly SecretFeature[] = [];
  readonly #settings: Settings;
  readonly #around: KubernetesSurroundings;
  #client: Promise<KubeClient> | null = null;

  constructor(settings: Settings, around: KubernetesSurroundings) {
    this.#settings = settings;
    this.#around = around;
  }

  async init(): Promise<void> {
    const { env, exists } = this.#around;
    const { kubeconfig } = this.#settings;
    if (kubeconfig === "" && env["KUBERNETES_SERVICE_HOST"]) return;
    const file = kubeconfig || env["KUBECONFIG"] || join(homedir(), ".kube", "config");
    if (!exists(file)) throw new Error(`there is no kubeconfig at ${file}; set kubeconfigPath, or run in a pod with a service account`);
  }

  async close(): Promise<void> {
    (await this.#client?.catch(() => null))?.close();
  }

  async get(name: string, metadata: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Secret> {
    const namespace = this.#namespace(metadata);
    const client = await this.#open();
    const secret = await client.get(kubeResources.secrets, namespace, name, signal);
    if (secret === null) throw new Error(`secrets "${name}" not found in namespace ${namespace}`);
    return decoded(secret["data"]);
  }

  async bulkGet(metadata: Readonly<Record<string, string>>, signal: AbortSignal): Promise<ReadonlyMap<string, Secret>> {
    const namespace = this.#namespace(metadata);
    const client = await this.#open();
    const secrets = new Map<string, Secret>();
    let continueFrom = "";
    do {
      const page = await client.list(kubeResources.secrets, { namespace, limit: pageSize, continueFrom }, signal);
      for (const object of arrayOf(page.items)) {
        const { metadata: meta, data } = objectOf(object);
        secrets.set(textOf(objectOf(meta)["name"]), decoded(data));
      }
      ({ continueFrom } = page);
    } while (continueFrom !== "");
    return secrets;
  }

  #namespace(metadata: Readonly<Record<string, string>>): string {
    const namespace = requestProperty(metadata, "namespace") || this.#around.env["NAMESPACE"] || this.#settings.defaultNamespace;
    if (!namespace) throw new Error("namespace is missing on metadata and NAMESPACE env variable, and no default namespace is set");
    return namespace;
  }

  /** A failure is not kept: the next call tries again. */
  #open(): Promise<KubeClient> {
    if (this.#client === null) {
      const opening = this.#around.open(this.#settings.kubeconfig || null);
      this.#client = opening;
      opening.catch(() => {
        if (this.#client === opening) this.#client = null;
      });
    }
    return this.#client;
  }
}

/** Values are base64 in the API. */
function decoded(data: unknown): Secret {
  const secret: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(objectOf(data))) secret[key] = Buffer.from(textOf(value), "base64").toString("utf8");
  return secret;
}
