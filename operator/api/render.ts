// A resource as the bytes that go to a sidecar: JSON, with the values of the secrets it refers to. Resources without secrets
// are rendered once. With secrets, a change is rendered once for all the sidecars that wait for it, and nothing is kept for
// longer; a list is rendered anew, since a secret may have changed without its resource. A secret that is not there, or that
// the operator may not read, leaves its reference as it stands and is reported: that one resource will fail at the sidecar,
// by name, and no other.
import type { Clock } from "../../lib/kit/clock.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { isStatus } from "../../lib/kube/error.ts";
import { at, type KubeObject } from "../../lib/kube/object.ts";
import { kubeResources } from "../../lib/kube/resource.ts";
import { type SecretReference, type SecretRules, withValues } from "./secret-references.ts";

export type Unresolved = (object: KubeObject, reference: SecretReference, cause: string) => void;

export interface RendererOptions {
  readonly client: Pick<KubeClient, "get" | "list">;
  readonly unresolved: Unresolved;
  /** Ends the reading of secrets: not a caller's leaving, since others may wait for the same. */
  readonly stop: AbortSignal;
  readonly clock: Clock;
}

const sharedMs = 5_000;

export class Renderer {
  readonly #options: RendererOptions;
  readonly #reading = new Map<string, Promise<KubeObject | null>>();
  readonly #plain = new WeakMap<KubeObject, Buffer>();
  readonly #shared = new WeakMap<KubeObject, Promise<Buffer>>();

  constructor(options: RendererOptions) {
    this.#options = options;
  }

  /** Rejects with KubeError when a secret cannot be read for another reason than that it is missing or forbidden. */
  async render(object: KubeObject, rules: SecretRules): Promise<Buffer> {
    const references = rules(object);
    if (references.length === 0) return this.renderPlain(object);
    return bytesOf(withValues(object, await this.#values(object, references, this.#options.unresolved)));
  }

  /** The same for one change of an object, told to many at about the same time. */
  renderChange(object: KubeObject, rules: SecretRules): Promise<Buffer> {
    const before = this.#shared.get(object);
    if (before !== undefined) return before;
    const rendering = this.render(object, rules);
    this.#shared.set(object, rendering);
    const forget = (): void => void this.#shared.delete(object);
    rendering.then(() => this.#options.clock.after(sharedMs, forget), forget);
    return rendering;
  }

  /** Without secrets. */
  renderPlain(object: KubeObject): Buffer {
    const bytes = this.#plain.get(object) ?? bytesOf(object);
    this.#plain.set(object, bytes);
    return bytes;
  }

  /** Whether every secret that the object refers to is there now. */
  async isResolved(object: KubeObject, rules: SecretRules): Promise<boolean> {
    const references = rules(object);
    return (await this.#values(object, references, ignore)).size === references.length;
  }

  async #values(object: KubeObject, references: readonly SecretReference[], unresolved: Unresolved): Promise<Map<SecretReference, Buffer>> {
    const values = new Map<SecretReference, Buffer>();
    const read = async (reference: SecretReference): Promise<void> => {
      const value = await this.#value(object, reference, unresolved);
      if (value !== null) values.set(reference, value);
    };
    await Promise.all(references.map(read));
    return values;
  }

  async #value(object: KubeObject, reference: SecretReference, unresolved: Unresolved): Promise<Buffer | null> {
    const { secret, key } = reference;
    try {
      const found = await this.#secret(object.metadata.namespace ?? "", secret);
      const data = found === null ? undefined : at(found, "data", key);
      if (typeof data === "string") return Buffer.from(data, "base64");
      unresolved(object, reference, found === null ? `there is no secret ${secret}` : `the secret ${secret} has no key ${key}`);
    } catch (error) {
      if (error instanceof RangeError) unresolved(object, reference, `${secret.slice(0, 64)} is no name of a secret`);
      else if (isStatus(error, 403)) unresolved(object, reference, `the operator may not read the secret ${secret}`);
      else throw error;
    }
    return null;
  }

  /** Those who ask for a secret while it is being read share the answer. */
  #secret(namespace: string, name: string): Promise<KubeObject | null> {
    const key = `${namespace}/${name}`;
    const underWay = this.#reading.get(key);
    if (underWay !== undefined) return underWay;
    const reading = this.#read(namespace, name);
    this.#reading.set(key, reading);
    const forget = (): void => void this.#reading.delete(key);
    reading.then(forget, forget);
    return reading;
  }

  /** By name. Dapr's operator knows secrets by lists, and there are stand-ins of the API server that know them by nothing else. */
  async #read(namespace: string, name: string): Promise<KubeObject | null> {
    const { client, stop } = this.#options;
    const found = await client.get(kubeResources.secrets, namespace, name, stop);
    if (found !== null) return found;
    const fieldSelector = `metadata.namespace=${namespace},metadata.name=${name}`;
    const { items } = await client.list(kubeResources.secrets, { fieldSelector }, stop).catch(forbiddenAsNone);
    return items.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name) ?? null;
  }
}

function forbiddenAsNone(error: unknown): { readonly items: readonly KubeObject[] } {
  if (isStatus(error, 403, 404)) return { items: [] };
  throw error;
}

function bytesOf(object: KubeObject): Buffer {
  return Buffer.from(JSON.stringify(object));
}

function ignore(): void {}
