// A resource as the bytes that go to a sidecar: JSON, with the values of the secrets it refers to. A change is rendered once
// for however many sidecars wait for it; a list is rendered anew, since a secret may have changed without its resource.
// A secret that is not there, or that the operator may not read, leaves its reference as it stands and is reported: that
// one resource will fail at the sidecar, by name, and no other.

import type { KubeClient } from "../../lib/kube/client.ts";
import { isStatus } from "../../lib/kube/error.ts";
import { at, type KubeObject, textOf } from "../../lib/kube/object.ts";
import { kubeResources } from "../../lib/kube/resource.ts";
import { type SecretReference, type SecretRules, withValues } from "./secret-references.ts";

export type Unresolved = (object: KubeObject, reference: SecretReference, cause: string) => void;

export class Renderer {
  readonly #client: Pick<KubeClient, "get">;
  readonly #unresolved: Unresolved;
  readonly #stop: AbortSignal;
  readonly #reading = new Map<string, Promise<KubeObject | null>>();
  readonly #rendered = new WeakMap<KubeObject, Promise<Buffer>>();

  /** `stop` ends the reading of secrets: not a caller's leaving, since others may wait for the same. */
  constructor(client: Pick<KubeClient, "get">, unresolved: Unresolved, stop: AbortSignal) {
    this.#client = client;
    this.#unresolved = unresolved;
    this.#stop = stop;
  }

  /** Rejects with KubeError when a secret cannot be read for another reason than that it is missing or forbidden. */
  async render(object: KubeObject, rules: SecretRules): Promise<Buffer> {
    const references = rules(object);
    return Buffer.from(JSON.stringify(references.length === 0 ? object : await this.#resolve(object, references)));
  }

  /** The same, once per object. */
  renderOnce(object: KubeObject, rules: SecretRules): Promise<Buffer> {
    const before = this.#rendered.get(object);
    if (before !== undefined) return before;
    const rendering = this.render(object, rules);
    this.#rendered.set(object, rendering);
    rendering.catch(() => this.#rendered.delete(object));
    return rendering;
  }

  async #resolve(object: KubeObject, references: readonly SecretReference[]): Promise<KubeObject> {
    const { namespace = "" } = object.metadata;
    const values = new Map<SecretReference, Buffer>();
    const read = async (reference: SecretReference): Promise<void> => {
      const value = await this.#value(object, namespace, reference);
      if (value !== null) values.set(reference, value);
    };
    await Promise.all(references.map(read));
    return withValues(object, values);
  }

  async #value(object: KubeObject, namespace: string, reference: SecretReference): Promise<Buffer | null> {
    const { secret, key } = reference;
    try {
      const found = await this.#secret(namespace, secret);
      const data = found === null ? undefined : at(found, "data", key);
      if (typeof data === "string") return Buffer.from(data, "base64");
      this.#unresolved(object, reference, found === null ? `there is no secret ${secret}` : `the secret ${secret} has no key ${key}`);
    } catch (error) {
      if (error instanceof RangeError) this.#unresolved(object, reference, `${textOf(secret).slice(0, 64)} is no name of a secret`);
      else if (isStatus(error, 403)) this.#unresolved(object, reference, `the operator may not read the secret ${secret}`);
      else throw error;
    }
    return null;
  }

  /** Those who ask for a secret while it is being read share the answer. */
  #secret(namespace: string, name: string): Promise<KubeObject | null> {
    const key = `${namespace}/${name}`;
    const underWay = this.#reading.get(key);
    if (underWay !== undefined) return underWay;
    const reading = (async () => this.#client.get(kubeResources.secrets, namespace, name, this.#stop))();
    this.#reading.set(key, reading);
    reading.then(
      () => this.#reading.delete(key),
      () => this.#reading.delete(key),
    );
    return reading;
  }
}
