// Bad input over the gRPC API: malformed messages, frames and headers, and requests that make no sense. The documented status with a
// message that names the cause, nothing stored of what was refused, and the sidecar as well as before.
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { after, before, describe, test } from "node:test";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component } from "../../build/resource.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcClient, type GrpcError } from "../../harness/grpc-client.ts";

const { method } = Dapr;
const bytes = (text: string) => Buffer.from(text);
const refused = { key: "refused", value: bytes("1") };

/** What is wrong, the call, gRPC status, cause. */
const calls: readonly (readonly [name: string, call: (client: GrpcClient) => Promise<unknown>, code: number, cause: RegExp])[] = [
  ["get from no store", (c) => c.call(method.getState, { storeName: "none", key: "a" }), 3, /state store none is not found/],
  ["get from __proto__", (c) => c.call(method.getState, { storeName: "__proto__", key: "a" }), 3, /__proto__ is not found/],
  ["get a||b", (c) => c.call(method.getState, { storeName: "store", key: "a||b" }), 3, /can't contain '\|\|'/],
  ["save a||b", (c) => c.call(method.saveState, { storeName: "store", states: [refused, { key: "a||b" }] }), 3, /can't contain '\|\|'/],
  ["save no key", (c) => c.call(method.saveState, { storeName: "store", states: [refused, { key: "" }] }), 3, /key cannot be empty/],
  [
    "save a time to live that is none",
    (c) => c.call(method.saveState, { storeName: "store", states: [{ ...refused, metadata: { ttlInSeconds: "x" } }] }),
    13,
    /whole number of seconds/,
  ],
  [
    "save JSON that is none",
    (c) =>
      c.call(method.saveState, {
        storeName: "store",
        states: [{ key: "a", value: bytes("{"), metadata: { contentType: "application/json" } }],
      }),
    3,
    /is no JSON/,
  ],
  [
    "save against an etag that is gone",
    (c) => c.call(method.saveState, { storeName: "store", states: [{ ...refused, etag: { value: "999" } }] }),
    10,
    /etag mismatch/,
  ],
  [
    "an operation that does not exist",
    (c) =>
      c.call(method.executeStateTransaction, {
        storeName: "store",
        operations: [
          { operationType: "upsert", request: refused },
          { operationType: "odd", request: { key: "a" } },
        ],
      }),
    12,
    /operation type odd not supported/,
  ],
  ["publish to nothing", (c) => c.call(method.publishEvent, {}), 3, /pubsub name is empty/],
  ["publish to no topic", (c) => c.call(method.publishEvent, { pubsubName: "bus" }), 3, /topic is empty/],
  [
    "publish a list as CloudEvent",
    (c) =>
      c.call(method.publishEvent, { pubsubName: "bus", topic: "t", dataContentType: "application/cloudevents+json", data: bytes("[]") }),
    3,
    /cannot create cloudevent/,
  ],
  ["a secret of no store", (c) => c.call(method.getSecret, { storeName: "none", key: "a" }), 3, /failed finding secret store/],
  [
    "a secret that is not there",
    (c) => c.call(method.getSecret, { storeName: "file", key: "__proto__" }),
    13,
    /secret __proto__ not found/,
  ],
  ["invoke nothing", (c) => c.call(method.invokeService, {}), 13, /app id is empty/],
  ["invoke a name of three parts", (c) => c.call(method.invokeService, { id: "a.b.c", message: { method: "x" } }), 13, /invalid app id/],
  ["a label over its limit", (c) => c.call(method.setMetadata, { key: "a", value: "x".repeat(70_000) }), 3, /longer than 65536 bytes/],
  [
    "a message over --max-body-size",
    (c) => c.call(method.saveState, { storeName: "store", states: [{ key: "refused", value: Buffer.alloc(2 * 1024 * 1024) }] }),
    8,
    /received message larger than max \(\d+ vs\. 1048576\)/,
  ],
];

/** `length` may lie. */
function frame(payload: readonly number[], flag = 0, length = payload.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, Buffer.from(payload)]);
}

const saveState = "/dapr.proto.runtime.v1.Dapr/SaveState";
type Headers = Readonly<Record<string, string>>;

/** What is wrong, bytes of the request stream, grpc-status, headers that differ. */
const streams: readonly (readonly [name: string, data: Buffer, status: string, headers?: Headers])[] = [
  ["an endless varint", frame([0xff, 0xff, 0xff, 0xff]), "13"],
  ["a field longer than the message", frame([0x0a, 0x7f, 0x01]), "13"],
  ["a string that is not UTF-8", frame([0x0a, 0x02, 0xff, 0xfe]), "13"],
  ["a group that does not end", frame([0x0b]), "13"],
  ["no message", Buffer.alloc(0), "13"],
  ["half a frame head", Buffer.from([0, 0]), "13"],
  ["a frame that breaks off", frame([1, 2], 0, 100), "13"],
  ["an unknown flag", frame([], 7), "13"],
  ["compression without a name", frame([], 1), "13"],
  ["a frame of 4 GiB", frame([], 0, 0xffffffff), "8"],
  ["two messages", Buffer.concat([frame([]), frame([])]), "13"],
  ["another content type", frame([]), "3", { "content-type": "application/json" }],
  ["a deadline that is none", frame([]), "13", { "grpc-timeout": "forever" }],
  ["an unknown compression", frame([]), "12", { "grpc-encoding": "lzma" }],
  ["an unknown method", frame([]), "12", { ":path": "/dapr.proto.runtime.v1.Dapr/Nothing" }],
];

describe("bad input over gRPC", () => {
  let folder: Folder;
  let sidecar: Daprd;
  let client: GrpcClient;
  before(async () => {
    folder = new Folder("bad");
    const secretsFile = folder.write("secrets.json", '{"token":"t"}');
    sidecar = await daprd({
      appId: "shop",
      flags: { "max-body-size": "1Mi" },
      resources: [
        component("store", "state.in-memory"),
        component("bus", "pubsub.in-memory"),
        component("file", "secretstores.local.file", { metadata: { secretsFile } }),
      ],
    });
    client = new GrpcClient(sidecar.grpcAddress);
  });
  after(async () => {
    client[Symbol.dispose]();
    await sidecar[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const isWell = async () => {
    const { data } = await client.call(method.getState, { storeName: "store", key: "refused" });
    assert.equal(data.length, 0, "a part of a refused request was stored");
    assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
  };

  for (const [name, call, code, cause] of calls) {
    test(`${name}: status ${code}`, async () => {
      await assert.rejects(call(client), (error: GrpcError) => {
        assert.equal(error.code, code, error.message);
        assert.match(error.details, cause);
        return true;
      });
      await isWell();
    });
  }

  for (const [name, data, status, headers] of streams) {
    test(`${name}: grpc-status ${status}`, async () => {
      const answer = await exchange(sidecar.grpcPort, data, headers ?? {});
      assert.equal(answer.status, status, answer.message);
      assert.notEqual(answer.message, "");
      await isWell();
    });
  }

  test("metadata with control characters, many and long entries ends no connection but its own", async () => {
    const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`x-${i}`, "y".repeat(100)]));
    const answer = await exchange(sidecar.grpcPort, frame([]), many).catch(() => ({ status: "reset", message: "" }));
    assert.notEqual(answer.status, "0");
    await isWell();
  });
});

/** One request stream of raw bytes: its grpc-status and grpc-message. */
function exchange(port: number, data: Buffer, headers: Headers): Promise<{ readonly status: string; readonly message: string }> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on("error", reject);
    const sent = { ":method": "POST", ":path": saveState, "content-type": "application/grpc", te: "trailers", ...headers };
    const stream = session.request(sent);
    let status = "reset";
    let message = "";
    const read = (fields: Record<string, unknown>) => {
      status = String(fields["grpc-status"] ?? status);
      message = String(fields["grpc-message"] ?? message);
    };
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("error", () => {});
    stream.on("close", () => session.close(() => resolve({ status, message })));
    stream.resume();
    stream.end(data);
  });
}
