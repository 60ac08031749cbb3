import assert from "node:assert/strict";
import { test } from "node:test";
import { EtagError, type StateStore } from "../../../components/state/store.ts";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import { createStateBlock } from "./block.ts";
import { type CallOptions, callHttp } from "./http-test-client.ts";
import { alteredStore, loaded, memoryStore, statePorts, tableOf } from "./test-stores.ts";

function sidecar(driver: StateStore = memoryStore(), metadata: Readonly<Record<string, string>> = {}) {
  const { http } = createStateBlock(statePorts(tableOf(loaded("mystore", driver, metadata))));
  const call = (method: string, path: string, options?: CallOptions) => callHttp(http, method, `/v1.0/state/${path}`, options);
  return {
    http,
    call,
    save: (body: unknown, path = "mystore") => call("POST", path, { body: typeof body === "string" ? body : JSON.stringify(body) }),
    get: (key: string) => call("GET", `mystore/${key}`),
  };
}

test("save, get, delete", async () => {
  const { save, get, call } = sidecar();
  assert.deepEqual(await get("k"), { status: 204, headers: {}, text: "" });
  assert.deepEqual(await save([{ key: "k", value: { a: 1 } }]), { status: 204, headers: {}, text: "" });
  const answer = await get("k");
  assert.equal(answer.status, 200);
  assert.equal(answer.text, '{"a":1}');
  assert.ok(answer.headers["etag"]);
  assert.equal((await call("PUT", "mystore", { body: '[{"key":"k","value":"x"}]' })).status, 204);
  assert.equal((await get("k")).text, '"x"');
  assert.equal((await call("DELETE", "mystore/k")).status, 204);
  assert.equal((await get("k")).status, 204);
});

test("bodies that Dapr takes", async () => {
  const { save, get } = sidecar();
  for (const body of [
    "[]",
    "null",
    '[{"key":"k","vae":"v"}]',
    '[{"Key":"k","VALUE":1,"extra":[]}]',
    '[{"key":"k"},{"key":"j"},{"key":"k"}]',
  ]) {
    assert.equal((await save(body)).status, 204, body);
  }
  assert.equal((await get("k")).text, "null");
});

test("bodies that Dapr refuses, each with a remedy", async () => {
  const { save, get } = sidecar();
  for (const [body, message] of [
    ["", /the body is empty; send JSON/],
    ["{}", /must be a JSON array of items/],
    ["foobar", /Unexpected token/],
    ["[{}]", /^"key" is a required field/],
    ['[{"key":""}]', /^"key" is a required field/],
    ["[null]", /^"key" is a required field/],
    ["[1]", /must be a JSON object, not a number/],
    ['[{"key":1}]', /"key" must be a string/],
    ['[{"key":"ke||y1","value":"v"}]', /input key\/keyPrefix 'ke\|\|y1' can't contain '\|\|'/],
    ['[{"key":"k","value":"v"},]', /JSON/],
    ['[{"key":"k","value":"v","etag":123}]', /"etag" must be a string/],
    ['[{"key":"k","value":"v","etag":12345678901234567890}]', /"etag" must be a string, not a number/],
    ['[{"key":"k","metadata":{"ttlInSeconds":5}}]', /put the value of "ttlInSeconds" in quotes/],
    ['[{"key":"k","metadata":[]}]', /"metadata" must be an object/],
    ['[{"key":"k","options":1}]', /"options" must be a JSON object/],
    ['[{"key":"k","value":"v"}] trailing', /JSON/],
    [`[{"key":"k","value":${"[".repeat(100_000)}1e1${"]".repeat(100_000)}}]`, /nested too deeply/],
  ] as const) {
    await assert.rejects(save(body), { code: "ERR_MALFORMED_REQUEST", http: 400, message }, body.slice(0, 80));
  }
  assert.equal((await get("k")).status, 204);
});

test("an unknown concurrency or consistency is a failed save, as in Dapr", async () => {
  const { save, call } = sidecar();
  await assert.rejects(save([{ key: "k", options: { concurrency: "second-write" } }]), {
    code: "ERR_STATE_SAVE",
    http: 500,
    message: /^failed saving state in state store mystore: unrecognized concurrency model 'second-write'/,
  });
  await assert.rejects(call("DELETE", "mystore/k?consistency=maybe"), {
    code: "ERR_STATE_DELETE",
    message: /unrecognized consistency model 'maybe'/,
  });
  const body = '{"operations":[{"operation":"upsert","request":{"key":"k","options":{"consistency":"maybe"}}}]}';
  await assert.rejects(call("POST", "mystore/transaction", { body }), {
    code: "ERR_STATE_TRANSACTION",
    message: /unrecognized consistency/,
  });
});

test("values keep their digits and survive __proto__", async () => {
  const { save, get } = sidecar();
  await save('[{"key":"k","value":{"id":12345678901234567890,"__proto__":{"admin":true},"html":"<&>"},"metadata":{"__proto__":"x"}}]');
  assert.equal((await get("k")).text, '{"id":12345678901234567890,"__proto__":{"admin":true},"html":"\\u003c\\u0026\\u003e"}');
  await save([{ key: "__proto__", value: 1 }]);
  assert.equal((await get("__proto__")).text, "1");
});

test("etags: If-Match, first-write, conflicts", async () => {
  const { save, get, call } = sidecar();
  await save([{ key: "k", value: 1 }]);
  const etag = String((await get("k")).headers["etag"]);
  await save([{ key: "k", value: 2, etag, options: { concurrency: "first-write", consistency: "strong" } }]);
  const conflict = {
    code: "ERR_STATE_SAVE",
    http: 409,
    message: "failed saving state in state store mystore: possible etag mismatch. error from state store",
  };
  await assert.rejects(save([{ key: "k", value: 3, etag }]), conflict);
  await assert.rejects(save([{ key: "k", value: 3, options: { concurrency: "first-write" } }]), conflict);
  await assert.rejects(call("DELETE", "mystore/k", { headers: { "if-match": etag } }), {
    code: "ERR_STATE_DELETE",
    http: 409,
    message: "failed deleting state with key k: possible etag mismatch. error from state store",
  });
  assert.equal((await get("k")).text, "2");
  const newest = String((await get("k")).headers["etag"]);
  assert.equal((await call("DELETE", "mystore/k", { headers: { "if-match": newest } })).status, 204);
});

test("an invalid etag is the caller's fault", async () => {
  const store = alteredStore({ set: async () => Promise.reject(new EtagError("invalid")) });
  await assert.rejects(sidecar(store).save([{ key: "k", etag: "x" }]), { http: 400, message: /invalid etag value$/ });
});

test("what a store throws is told with the code of the verb", async () => {
  const broken = async () => Promise.reject(new Error("disk on fire"));
  const store = alteredStore({ get: broken, set: broken, delete: broken, bulkGet: broken, transact: broken });
  const { get, save, call } = sidecar(store);
  await assert.rejects(get("k"), { code: "ERR_STATE_GET", http: 500, message: "fail to get k from state store mystore: disk on fire" });
  await assert.rejects(save([{ key: "k" }]), { code: "ERR_STATE_SAVE", http: 500 });
  await assert.rejects(call("DELETE", "mystore/k"), { code: "ERR_STATE_DELETE", http: 500 });
  await assert.rejects(call("POST", "mystore/bulk", { body: '{"keys":["k"]}' }), {
    code: "ERR_STATE_BULK_GET",
    http: 500,
    message: "disk on fire",
  });
  const body = '{"operations":[{"operation":"delete","request":{"key":"k"}}]}';
  await assert.rejects(call("POST", "mystore/transaction", { body }), {
    code: "ERR_STATE_TRANSACTION",
    http: 500,
    message: "error while executing state transaction: disk on fire",
  });
});

test("ttl: metadata of the item, of the URL, and of the answer", async () => {
  const clock = new FakeClock();
  const { save, get } = sidecar(memoryStore(clock));
  await save([{ key: "k", value: 1, metadata: { ttlInSeconds: "3" } }]);
  assert.equal((await get("k")).headers["metadata.ttlExpireTime"], "2026-01-01T00:00:03Z");
  await save([{ key: "k", value: 1, metadata: { ttlInSeconds: "3" } }], "mystore?metadata.ttlInSeconds=60");
  await clock.advance(10_000);
  assert.equal((await get("k")).headers["metadata.ttlExpireTime"], "2026-01-01T00:01:00Z");
  await clock.advance(60_000);
  assert.equal((await get("k")).status, 204);
});

test("bulk get", async () => {
  const { save, call } = sidecar();
  await save([
    { key: "a", value: { x: 1 } },
    { key: "b", value: "<", metadata: { ttlInSeconds: "3" } },
  ]);
  const answer = await call("POST", "mystore/bulk", { body: '{"keys":["b","missing","a"],"parallelism":2}' });
  assert.equal(answer.status, 200);
  const items = JSON.parse(answer.text);
  assert.deepEqual(
    items.map((item: { key: string; data?: unknown }) => [item.key, item.data]),
    [
      ["b", "<"],
      ["missing", undefined],
      ["a", { x: 1 }],
    ],
  );
  assert.deepEqual(Object.keys(items[1]), ["key"]);
  assert.equal(items[0].metadata.ttlExpireTime, "2026-01-01T00:00:03Z");
  assert.ok(items[2].etag);
  for (const body of ["{}", '{"keys":[]}', "null"]) assert.equal((await call("PUT", "mystore/bulk", { body })).text, "[]");
});

test("bulk get: what is no JSON comes as base64, what fails says why", async () => {
  const store = alteredStore({
    bulkGet: async () => [
      { key: "x", item: { data: Buffer.from("plain text"), etag: null, metadata: {}, contentType: null }, error: null },
      { key: "y", item: null, error: "broken" },
    ],
  });
  const answer = await sidecar(store).call("POST", "mystore/bulk", { body: '{"keys":["a","b"]}' });
  assert.deepEqual(JSON.parse(answer.text), [
    { key: "a", data: Buffer.from("plain text").toString("base64") },
    { key: "b", error: "broken" },
  ]);
});

test("bulk get refuses a body that is none", async () => {
  for (const body of ["", "[]", '{"keys":"a"}', '{"keys":[1]}', '{"keys":["a"],"parallelism":"2"}']) {
    await assert.rejects(
      sidecar().call("POST", "mystore/bulk", { body }),
      { code: "ERR_MALFORMED_REQUEST", http: 400, message: /^failed deserializing HTTP body: / },
      body,
    );
  }
});

test("transactions are all or nothing", async () => {
  const { call, get, save } = sidecar();
  await save([{ key: "gone", value: 1 }]);
  const good = {
    operations: [
      { operation: "upsert", request: { key: "a", value: { n: 1 }, metadata: { ttlInSeconds: "9" } } },
      { operation: "delete", request: { key: "gone" } },
    ],
    metadata: { partitionKey: "p" },
  };
  assert.equal((await call("POST", "mystore/transaction", { body: JSON.stringify(good) })).status, 204);
  assert.equal((await get("a")).text, '{"n":1}');
  assert.equal((await get("gone")).status, 204);
  const bad =
    '{"operations":[{"operation":"delete","request":{"key":"a"}},{"operation":"upsert","request":{"key":"b","value":1,"etag":"x"}}]}';
  await assert.rejects(call("PUT", "mystore/transaction", { body: bad }), {
    code: "ERR_STATE_TRANSACTION",
    http: 500,
    message: /possible etag mismatch/,
  });
  assert.equal((await get("a")).status, 200);
  for (const body of ["{}", '{"operations":[]}']) assert.equal((await call("POST", "mystore/transaction", { body })).status, 204);
});

test("transactions: what is refused", async () => {
  const { call } = sidecar();
  for (const [body, code, message] of [
    [
      '{"operations":[{"operation":"increment","request":{"key":"a"}}]}',
      "ERR_NOT_SUPPORTED_STATE_OPERATION",
      /^operation type increment not supported$/,
    ],
    ['{"operations":[{"request":{"key":"a"}}]}', "ERR_NOT_SUPPORTED_STATE_OPERATION", /^operation type {2}not supported$/],
    ['{"operations":[{"operation":"upsert","request":{"value":1}}]}', "ERR_MALFORMED_REQUEST", /"key" is a required field/],
    ['{"operations":[{"operation":"delete","request":{"key":"a||b"}}]}', "ERR_MALFORMED_REQUEST", /can't contain/],
    ['{"operations":{}}', "ERR_MALFORMED_REQUEST", /failed deserializing HTTP body: "operations" must be an array/],
    ["", "ERR_MALFORMED_REQUEST", /failed deserializing HTTP body/],
  ] as const) {
    await assert.rejects(call("POST", "mystore/transaction", { body }), { code, http: 400, message }, body);
  }
});

test("a store without transactions, and one with a limit", async () => {
  const body = '{"operations":[{"operation":"upsert","request":{"key":"a"}},{"operation":"delete","request":{"key":"b"}}]}';
  await assert.rejects(sidecar(alteredStore({ features: [] })).call("POST", "mystore/transaction", { body }), {
    code: "ERR_STATE_STORE_NOT_SUPPORTED",
    http: 500,
    message: "state store mystore doesn't support transactions",
    details: [
      { kind: "ErrorInfo", reason: "DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED", metadata: null },
      { kind: "ResourceInfo", type: "state", name: "mystore", owner: "", description: "" },
      {
        kind: "Help",
        links: [
          {
            url: "https://docs.dapr.io/reference/components-reference/supported-state-stores/",
            description: "Check the list of state stores and the features they support",
          },
        ],
      },
    ],
  });
  await assert.rejects(sidecar(alteredStore({ maxTransactionOperations: 1 })).call("POST", "mystore/transaction", { body }), {
    code: "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS",
    http: 400,
    message: "the transaction contains 2 operations, which is more than what the state store supports: 1",
    details: [
      {
        kind: "ErrorInfo",
        reason: "DAPR_STATE_TOO_MANY_TRANSACTIONS",
        metadata: { currentOpsTransaction: "2", maxOpsPerTransaction: "1" },
      },
      { kind: "ResourceInfo", type: "state", name: "mystore", owner: "", description: "" },
    ],
  });
});

test("no store, another store, an illegal key, a query", async () => {
  const none = createStateBlock(statePorts(tableOf<StateStore>()));
  await assert.rejects(callHttp(none.http, "POST", "/v1.0/state/mystore"), {
    code: "ERR_STATE_STORE_NOT_CONFIGURED",
    http: 500,
    message: "state store mystore is not configured",
    details: [{ kind: "ErrorInfo", reason: "DAPR_STATE_NOT_CONFIGURED", metadata: { appID: "myapp" } }],
  });
  const { call, http } = sidecar();
  await assert.rejects(call("GET", "other/k"), {
    code: "ERR_STATE_STORE_NOT_FOUND",
    http: 400,
    message: "state store other is not found",
    details: [{ kind: "ErrorInfo", reason: "DAPR_STATE_NOT_FOUND", metadata: { appID: "myapp" } }],
  });
  await assert.rejects(call("GET", "mystore/a%7C%7Cb"), {
    code: "ERR_MALFORMED_REQUEST",
    http: 400,
    message: "input key/keyPrefix 'a||b' can't contain '||'",
    details: [
      { kind: "ErrorInfo", reason: "DAPR_STATE_ILLEGAL_KEY", metadata: null },
      { kind: "ResourceInfo", type: "state", name: "mystore", owner: "", description: "" },
      { kind: "BadRequest", violations: [{ field: "a||b", description: "input key/keyPrefix 'a||b' can't contain '||'" }] },
    ],
  });
  await assert.rejects(callHttp(http, "POST", "/v1.0-alpha1/state/mystore/query", { body: "{}" }), {
    code: "ERR_STATE_STORE_NOT_SUPPORTED",
    http: 500,
    message: "state store does not support querying",
  });
});

test("keyPrefix decides what the store sees, and a reload decides anew", async () => {
  const driver = memoryStore();
  const signal = new AbortController().signal;
  const table = new Map([["mystore", loaded("mystore", driver)]]);
  const { http } = createStateBlock(statePorts(table, { keyNamespace: "ns" }));
  for (const [keyPrefix, stored] of [
    ["appid", "myapp||k"],
    ["name", "mystore||k"],
    ["namespace", "ns.myapp||k"],
    ["none", "k"],
    ["Team", "team||k"],
  ] as const) {
    table.set("mystore", loaded("mystore", driver, { keyPrefix }));
    await callHttp(http, "POST", "/v1.0/state/mystore", { body: JSON.stringify([{ key: "k", value: keyPrefix }]) });
    const item = await driver.get({ key: stored, consistency: "", metadata: {} }, signal);
    assert.equal(Buffer.from(item?.data ?? []).toString(), JSON.stringify(keyPrefix));
    assert.equal((await callHttp(http, "GET", "/v1.0/state/mystore/k")).text, JSON.stringify(keyPrefix));
    const bulk = await callHttp(http, "POST", "/v1.0/state/mystore/bulk", { body: '{"keys":["k"]}' });
    assert.equal(JSON.parse(bulk.text)[0].key, "k");
  }
  table.set("mystore", loaded("mystore", driver, { keyPrefix: "a||b" }));
  await assert.rejects(callHttp(http, "GET", "/v1.0/state/mystore/k"), { message: "input key/keyPrefix 'a||b' can't contain '||'" });
});
