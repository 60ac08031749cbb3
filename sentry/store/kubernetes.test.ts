// The Secret and the ConfigMap of a cluster, kept in memory with the API server's rules about versions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type KeyedData } from "../kubernetes/api.ts";
import { createKubernetesStore, type StoreApi } from "./kubernetes.ts";
import { ConflictError } from "./store.ts";

const never = new AbortController().signal;
const names = {
  anchors: "ca.crt",
  issuerChain: "/mounted/issuer.crt",
  issuerKey: "issuer.key",
  jwtKey: "jwt.key",
  jwks: "jwks.json",
  rotation: "rotation.json",
};

class MemoryApi implements StoreApi {
  readonly objects = new Map<string, { data: Map<string, string>; version: number }>([
    ["secrets", { data: new Map(), version: 1 }],
    ["configmaps", { data: new Map([["theirs", "kept"]]), version: 1 }],
  ]);
  /** Calls that succeed before the connection is gone. */
  callsLeft = Number.POSITIVE_INFINITY;

  async keyed(kind: string): Promise<KeyedData | null> {
    this.#spend();
    const object = this.objects.get(kind);
    return object === undefined ? null : { data: new Map(object.data), resourceVersion: String(object.version) };
  }

  async patchKeyed(kind: string, _ns: string, _name: string, values: Record<string, string>, version: string | null): Promise<string> {
    this.#spend();
    const object = this.objects.get(kind);
    if (object === undefined) throw new ApiError(404, "gone");
    if (version !== null && version !== String(object.version)) throw new ApiError(409, "conflict");
    for (const [key, value] of Object.entries(values)) object.data.set(key, value);
    return String(++object.version);
  }

  #spend(): void {
    if (this.callsLeft-- <= 0) throw new ApiError(0, "unreachable");
  }
}

const credentials = { anchors: "A", issuerChain: "C", issuerKey: "K", jwks: "J", rotation: "R" };

test("an empty Secret is nothing; what is saved is what is loaded, private parts in the Secret only", async () => {
  const api = new MemoryApi();
  api.objects.get("secrets")?.data.set("ca.crt", "");
  const store = createKubernetesStore(api, "dapr-system", names);
  const empty = await store.load(never);
  assert.deepEqual(empty, { credentials: {}, version: "1" });
  await store.save(credentials, empty.version, never);
  assert.deepEqual((await store.load(never)).credentials, credentials);
  assert.deepEqual(Object.fromEntries(api.objects.get("configmaps")?.data ?? []), { theirs: "kept", "ca.crt": "A", "jwks.json": "J" });
});

test("of two replicas that save, the second is told", async () => {
  const api = new MemoryApi();
  const [one, two] = [createKubernetesStore(api, "dapr-system", names), createKubernetesStore(api, "dapr-system", names)];
  const seen = await two.load(never);
  await one.save(credentials, (await one.load(never)).version, never);
  await assert.rejects(two.save({ anchors: "B" }, seen.version, never), ConflictError);
  assert.deepEqual((await two.load(never)).credentials, credentials);
});

test("a process that dies between Secret and ConfigMap leaves the rest to the next load", async () => {
  const api = new MemoryApi();
  const store = createKubernetesStore(api, "dapr-system", names);
  const { version } = await store.load(never);
  api.callsLeft = 1;
  await assert.rejects(store.save(credentials, version, never), /unreachable/);
  api.callsLeft = Number.POSITIVE_INFINITY;
  assert.equal(api.objects.get("configmaps")?.data.get("ca.crt"), undefined);
  assert.deepEqual((await store.load(never)).credentials, credentials);
  assert.equal(api.objects.get("configmaps")?.data.get("ca.crt"), "A");
});

test("a missing Secret is named with its remedy", async () => {
  const api = new MemoryApi();
  api.objects.delete("secrets");
  await assert.rejects(createKubernetesStore(api, "dapr-system", names).load(never), /dapr-system\/dapr-trust-bundle; install the chart/);
});
