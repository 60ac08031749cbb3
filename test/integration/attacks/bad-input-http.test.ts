// Bad input over the HTTP API of state, pub/sub, secrets, invocation and metadata: the documented status and error code, a message that
// names the cause, nothing stored of a request that was refused, and the sidecar as well as before. (What only the driver can refuse is
// refused item by item, as in Dapr: a bulk save is no transaction.)
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { component } from "../../build/resource.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";

interface Case {
  readonly request: `${"GET" | "POST" | "PUT" | "DELETE"} /${string}`;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** Null: a plain text answer. */
  readonly code: string | null;
  readonly cause: RegExp;
}

const items = (text: string) => `[{"key":"refused","value":1},${text}]`;
const operations = (text: string) => `{"operations":[{"operation":"upsert","request":{"key":"refused","value":1}},${text}]}`;
const oversized = "x".repeat(2 * 1024 * 1024);
const events = { "content-type": "application/cloudevents+json" };
const save = "POST /v1.0/state/store";
const malformed = "ERR_MALFORMED_REQUEST";

const cases: readonly Case[] = [
  { request: save, body: "{", status: 400, code: malformed, cause: /JSON/ },
  { request: save, body: "", status: 400, code: malformed, cause: /body is empty; send JSON/ },
  { request: save, body: "{}", status: 400, code: malformed, cause: /must be a JSON array of items such as/ },
  { request: save, body: "[1]", status: 400, code: malformed, cause: /an item must be a JSON object, not a number/ },
  { request: save, body: items("null"), status: 400, code: malformed, cause: /each item needs a "key"|an item must be/ },
  { request: save, body: items("{}"), status: 400, code: malformed, cause: /each item needs a "key"/ },
  { request: save, body: items('{"key":""}'), status: 400, code: malformed, cause: /each item needs a "key"/ },
  { request: save, body: items('{"key":{"a":1}}'), status: 400, code: malformed, cause: /"key" must be a string/ },
  { request: save, body: items('{"key":"a||b","value":1}'), status: 400, code: malformed, cause: /can't contain '\|\|'/ },
  { request: save, body: items('{"key":"a","etag":5}'), status: 400, code: malformed, cause: /"etag" must be a string/ },
  { request: save, body: items('{"key":"a","value":}'), status: 400, code: malformed, cause: /JSON/ },
  { request: save, body: `${items('{"key":"a","value":1}')} tail`, status: 400, code: malformed, cause: /JSON/ },
  { request: save, body: "[".repeat(200_000), status: 400, code: malformed, cause: /JSON/ },
  { request: save, body: new Uint8Array([0x5b, 0xff, 0xfe, 0x5d]), status: 400, code: malformed, cause: /JSON/ },
  { request: save, body: "\u0000", status: 400, code: malformed, cause: /JSON/ },
  {
    request: save,
    body: '[{"key":"refused","value":1,"metadata":{"ttlInSeconds":"soon"}}]',
    status: 500,
    code: "ERR_STATE_SAVE",
    cause: /ttlInSeconds.*whole number of seconds/,
  },
  {
    request: save,
    body: '[{"key":"refused","value":1,"options":{"concurrency":"odd"}}]',
    status: 500,
    code: "ERR_STATE_SAVE",
    cause: /use first-write or last-write/,
  },
  { request: save, body: oversized, status: 400, code: "ERR_BODY_READ", cause: /1048576 bytes; send less or raise --max-body-size/ },
  { request: "POST /v1.0/state/none", body: "[]", status: 400, code: "ERR_STATE_STORE_NOT_FOUND", cause: /state store none is not found/ },
  { request: "POST /v1.0/state/__proto__", body: "[]", status: 400, code: "ERR_STATE_STORE_NOT_FOUND", cause: /__proto__ is not found/ },
  { request: "GET /v1.0/state/constructor/a", status: 400, code: "ERR_STATE_STORE_NOT_FOUND", cause: /constructor is not found/ },
  { request: "GET /v1.0/state/store%2Fkey/a", status: 400, code: "ERR_STATE_STORE_NOT_FOUND", cause: /store\/key is not found/ },
  { request: "GET /v1.0/state/store%00/a", status: 400, code: "ERR_STATE_STORE_NOT_FOUND", cause: /is not found/ },
  { request: "GET /v1.0/state/store/a%7C%7Cb", status: 400, code: malformed, cause: /can't contain '\|\|'/ },
  { request: "GET /v1.0/state/store/%ff", status: 400, code: null, cause: /unescape request parameter "key".*invalid URL escape/ },
  { request: "DELETE /v1.0/state/store/a?concurrency=odd", status: 500, code: "ERR_STATE_DELETE", cause: /use first-write or last-write/ },
  { request: "POST /v1.0/state/store/bulk", body: "{", status: 400, code: malformed, cause: /failed deserializing HTTP body: .*JSON/ },
  { request: "POST /v1.0/state/store/bulk", body: '{"keys":5}', status: 400, code: malformed, cause: /"keys" must be an array of strings/ },
  { request: "POST /v1.0/state/store/transaction", body: "{", status: 400, code: malformed, cause: /failed deserializing HTTP body/ },
  {
    request: "POST /v1.0/state/store/transaction",
    body: operations('{"operation":"odd","request":{"key":"a"}}'),
    status: 400,
    code: "ERR_NOT_SUPPORTED_STATE_OPERATION",
    cause: /operation type odd not supported/,
  },
  {
    request: "POST /v1.0/state/store/transaction",
    body: operations('{"operation":"upsert","request":{"key":"a||b"}}'),
    status: 400,
    code: malformed,
    cause: /can't contain/,
  },
  {
    request: "POST /v1.0/publish/bus/topic",
    body: "[]",
    headers: events,
    status: 500,
    code: "ERR_PUBSUB_CLOUD_EVENTS_SER",
    cause: /cannot create cloudevent/,
  },
  { request: "POST /v1.0/publish/bus/topic", body: oversized, status: 400, code: "ERR_BODY_READ", cause: /raise --max-body-size/ },
  {
    request: "POST /v1.0/publish/bus/topic?metadata.rawPayload=odd",
    body: "x",
    status: 400,
    code: "ERR_PUBSUB_REQUEST_METADATA",
    cause: /must be a valid boolean/,
  },
  { request: "POST /v1.0/publish/bus/", body: "x", status: 404, code: "ERR_TOPIC_NAME_EMPTY", cause: /topic is empty in pubsub bus/ },
  { request: "POST /v1.0/publish/__proto__/topic", body: "x", status: 404, code: "ERR_PUBSUB_NOT_FOUND", cause: /__proto__ is not found/ },
  {
    request: "GET /v1.0/secrets/none/x",
    status: 401,
    code: "ERR_SECRET_STORE_NOT_FOUND",
    cause: /failed finding secret store with key none/,
  },
  { request: "GET /v1.0/secrets/__proto__/x", status: 401, code: "ERR_SECRET_STORE_NOT_FOUND", cause: /__proto__/ },
  { request: "GET /v1.0/secrets/file/__proto__", status: 500, code: "ERR_SECRET_GET", cause: /secret __proto__ not found/ },
  { request: "GET /v1.0/secrets/file/..%2F..%2Fetc%2Fpasswd", status: 500, code: "ERR_SECRET_GET", cause: /not found/ },
  { request: "GET /v1.0/secrets/file/a%00b", status: 500, code: "ERR_SECRET_GET", cause: /not found/ },
  {
    request: "PUT /v1.0/metadata/label",
    body: "x".repeat(70_000),
    status: 400,
    code: "ERR_BAD_REQUEST",
    cause: /longer than 65536 bytes; store data in a state store/,
  },
  { request: "GET /v1.0/invoke/a.b.c/method/x", status: 500, code: "ERR_DIRECT_INVOKE", cause: /invalid app id a\.b\.c/ },
  { request: "POST /v1.0/invoke/shop/method/x", body: "{}", status: 500, code: "ERR_DIRECT_INVOKE", cause: /app channel not initialized/ },
  { request: "GET /v1.0/nothing/here", status: 404, code: "ERR_DIRECT_INVOKE", cause: /URL path or the header dapr-app-id/ },
];

describe("bad input over HTTP", () => {
  let folder: Folder;
  let sidecar: Daprd;
  before(async () => {
    folder = new Folder("bad");
    const secretsFile = folder.write("secrets.json", '{"token":"t0p-secret"}');
    sidecar = await daprd({
      appId: "shop",
      flags: { "max-body-size": "1Mi" },
      resources: [
        component("store", "state.in-memory"),
        component("bus", "pubsub.in-memory"),
        component("file", "secretstores.local.file", { metadata: { secretsFile } }),
      ],
    });
  });
  after(async () => {
    await sidecar[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  for (const { request, body, headers, status, code, cause } of cases) {
    const shown = body === undefined ? "" : ` with ${JSON.stringify(Buffer.from(body).toString("latin1").slice(0, 60))}`;
    test(`${request}${shown} is ${status} ${code ?? ""}`, async () => {
      const [method, path] = request.split(" ") as [string, string];
      const reply = await sidecar.fetch(path, { method, ...(headers && { headers }), ...(body !== undefined && { body }) });
      const text = await reply.text();
      assert.equal(reply.status, status, text);
      assert.match(text.replaceAll('\\"', '"'), cause);
      const found = code === null ? null : (JSON.parse(text) as { errorCode: string }).errorCode;
      assert.equal(found, code);
      assert.equal((await sidecar.fetch("/v1.0/state/store/refused")).status, 204, "a part of a refused request was stored");
      assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
    });
  }

  const keys = [
    "a%00b",
    "%0A%0D",
    "a%2Fb",
    "__proto__",
    "constructor",
    "toString",
    "%E2%80%AE",
    "..%2F..%2Fx",
    "%20",
    "%7F",
    "%F0%9F%92%A9",
  ];
  for (const key of keys) {
    test(`the key ${key} is a key like any other`, async () => {
      const plain = decodeURIComponent(key);
      const value = { polluted: true, __proto__: null };
      assert.equal((await sidecar.post("/v1.0/state/store", [{ key: plain, value }])).status, 204);
      assert.deepEqual(await (await sidecar.fetch(`/v1.0/state/store/${key}`)).json(), { polluted: true });
      assert.equal((await sidecar.fetch(`/v1.0/state/store/${key}`, { method: "DELETE" })).status, 204);
      assert.equal((await sidecar.fetch(`/v1.0/state/store/${key}`)).status, 204);
    });
  }

  test("a value with __proto__ comes back as it was sent and changes nothing else", async () => {
    const text = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"big":12345678901234567890}';
    const sent = await sidecar.fetch("/v1.0/state/store", { method: "POST", body: `[{"key":"proto","value":${text}}]` });
    assert.equal(sent.status, 204);
    assert.equal(await (await sidecar.fetch("/v1.0/state/store/proto")).text(), text);
    assert.equal((await sidecar.fetch("/v1.0/metadata/__proto__", { method: "PUT", body: "label" })).status, 204);
    const { extended } = JSON.parse(await (await sidecar.fetch("/v1.0/metadata")).text()) as { extended: object };
    assert.ok(Object.entries(extended).some(([name, value]) => name === "__proto__" && value === "label"));
    assert.ok(!("polluted" in extended));
  });

  test("no secret is in any log line, and no failure was unforeseen", () => {
    assert.ok(!sidecar.program.output.includes("t0p-secret"));
    assert.doesNotMatch(sidecar.program.output, /unexpected error answered/);
  });
});
