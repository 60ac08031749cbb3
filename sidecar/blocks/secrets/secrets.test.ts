import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, type DescMethodUnary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { Secret, SecretStore } from "../../../components/secrets/store.ts";
import { GrpcCode } from "../../../lib/kit/errors.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { SecretScope } from "../../../lib/resources/configuration.ts";
import { type Logger, silentLogger } from "../../../lib/telemetry/log.ts";
import type { GrpcCall } from "../../../lib/wire/grpc/types.ts";
import type { HttpRequest } from "../../contract/http.ts";
import type { ComponentTable, Loaded, Policies } from "../../contract/ports.ts";
import { createSecretsBlock, warnUnknownScopes } from "./block.ts";

const noPolicies: Policies = { outbound: () => null, inbound: () => null, app: () => null };

/** A store of the given secrets that notes the metadata of each request. */
function storeOf(secrets: Readonly<Record<string, Secret>>, asked: unknown[] = []): SecretStore {
  return {
    features: [],
    init: async () => {},
    close: async () => {},
    async get(name, metadata) {
      asked.push({ ...metadata });
      const secret = Object.hasOwn(secrets, name) ? secrets[name] : undefined;
      if (secret === undefined) throw new Error(`secret ${name} not found`);
      return secret;
    },
    async bulkGet(metadata) {
      asked.push({ ...metadata });
      return new Map(Object.entries(secrets));
    },
  };
}

function tableOf(stores: Readonly<Record<string, SecretStore>>): ComponentTable<SecretStore> {
  const component = (name: string, driver: SecretStore): Loaded<SecretStore> => ({
    name,
    type: "test",
    version: "v1",
    driver,
    property: () => undefined,
  });
  return new Map(Object.entries(stores).map(([name, driver]) => [name, component(name, driver)]));
}

function scope(storeName: string, change: Partial<SecretScope> = {}): SecretScope {
  return { storeName, defaultAccess: "allow", allowedSecrets: [], deniedSecrets: [], ...change };
}

function sidecar(stores: Readonly<Record<string, SecretStore>>, scopes: readonly SecretScope[] = []) {
  const block = createSecretsBlock({ stores: tableOf(stores), scopes, policies: noPolicies, log: silentLogger });
  const signal = new AbortController().signal;
  const http = async (name: string, params: Readonly<Record<string, string>>, rawQuery = "") => {
    const route = block.http.find((candidate) => candidate.name === name);
    assert.ok(route);
    const reply = await route.handle({ params, rawQuery, query: new URLSearchParams(rawQuery), signal } as HttpRequest);
    return { status: reply.status, text: String(reply.body) };
  };
  return {
    get: (storeName: string, key: string, rawQuery?: string) => http("GetSecret", { storeName, key }, rawQuery),
    bulk: (storeName: string) => http("GetBulkSecret", { storeName }),
    async rpc<I extends DescMessage, O extends DescMessage>(desc: DescMethodUnary<I, O>, request: MessageInitShape<I>) {
      const method = block.grpc.find((candidate) => candidate.desc === desc);
      assert.ok(method?.kind === "unary");
      return (await method.handle(create(desc.input, request) as never, { signal } as GrpcCall)) as MessageShape<O>;
    },
  };
}

const secrets = { a: { a: "1" }, db: { user: "u", password: "p" }, ["__proto__"]: { ["__proto__"]: "x" } };
const { getSecret, getBulkSecret } = Dapr.method;

test("get and bulk get over HTTP", async () => {
  const asked: unknown[] = [];
  const { get, bulk } = sidecar({ s: storeOf(secrets, asked) });
  assert.deepEqual(await get("s", "db", "metadata.version_id=3&other=1"), { status: 200, text: '{"user":"u","password":"p"}' });
  assert.deepEqual(asked, [{ version_id: "3" }]);
  assert.deepEqual(await bulk("s"), {
    status: 200,
    text: '{"a":{"a":"1"},"db":{"user":"u","password":"p"},"__proto__":{"__proto__":"x"}}',
  });
});

test("get and bulk get over gRPC", async () => {
  const { rpc } = sidecar({ s: storeOf(secrets) });
  assert.deepEqual((await rpc(getSecret, { storeName: "s", key: "db" })).data, { user: "u", password: "p" });
  const { data } = await rpc(getBulkSecret, { storeName: "s" });
  assert.deepEqual(Object.keys(data), ["a", "db", "__proto__"]);
  assert.deepEqual(data["db"]?.secrets, { user: "u", password: "p" });
});

test("what goes wrong has Dapr's codes and words", async () => {
  await assert.rejects(sidecar({}).get("s", "a"), {
    code: "ERR_SECRET_STORES_NOT_CONFIGURED",
    http: 500,
    grpc: GrpcCode.FAILED_PRECONDITION,
    message: "secret store is not configured",
  });
  const { get, bulk } = sidecar({ s: storeOf({}), broken: { ...storeOf({}), bulkGet: async () => Promise.reject(new Error("down")) } });
  await assert.rejects(get("other", "a"), {
    code: "ERR_SECRET_STORE_NOT_FOUND",
    http: 401,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "failed finding secret store with key other",
  });
  await assert.rejects(get("s", "key1"), {
    code: "ERR_SECRET_GET",
    http: 500,
    grpc: GrpcCode.INTERNAL,
    message: "failed getting secret with key key1 from secret store s: secret key1 not found",
  });
  await assert.rejects(bulk("broken"), {
    code: "ERR_SECRET_GET",
    http: 500,
    message: "failed getting secrets from secret store broken: down",
  });
});

test("scopes: allow list, deny list, default", async () => {
  const store = storeOf({ a: { a: "1" }, b: { b: "2" }, c: { c: "3" } });
  for (const [rules, visible] of [
    [[], "abc"],
    [[scope("other", { defaultAccess: "deny" })], "abc"],
    [[scope("s")], "abc"],
    [[scope("s", { deniedSecrets: ["b"] })], "ac"],
    [[scope("s", { defaultAccess: "deny" })], ""],
    [[scope("s", { defaultAccess: "deny", allowedSecrets: ["a", "c"] })], "ac"],
    [[scope("s", { allowedSecrets: ["a"], deniedSecrets: ["a"] })], "a"],
  ] as const) {
    const { get, bulk } = sidecar({ s: store }, rules);
    assert.equal(Object.keys(JSON.parse((await bulk("s")).text)).join(""), visible);
    for (const name of ["a", "b", "c"]) {
      const outcome = await get("s", name).then(
        () => "allowed",
        (error: { code: string }) => error.code,
      );
      assert.equal(outcome, visible.includes(name) ? "allowed" : "ERR_PERMISSION_DENIED", `${name} of ${visible}`);
    }
  }
});

test("a denied secret is not even looked up, and says so in Dapr's words", async () => {
  const asked: unknown[] = [];
  const { get, rpc } = sidecar({ s: storeOf(secrets, asked) }, [scope("s", { deniedSecrets: ["a"] })]);
  await assert.rejects(get("s", "a"), { http: 403, message: 'access denied by policy to get "a" from "s"' });
  await assert.rejects(rpc(getSecret, { storeName: "s", key: "a" }), { grpc: GrpcCode.PERMISSION_DENIED });
  assert.deepEqual(asked, []);
});

test("a scope without its store is warned of", () => {
  const lines: string[] = [];
  const log: Logger = { ...silentLogger, warn: (line) => void lines.push(line) };
  warnUnknownScopes({ scopes: [scope("s"), scope("custom")], stores: tableOf({ s: storeOf({}) }), log });
  assert.deepEqual(lines, ["Secrets configuration added for 'custom', but no matching secret store was found"]);
});
