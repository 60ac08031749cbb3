import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import { create, type DescMethodUnary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { EtagError, type StateStore } from "../../../components/state/store.ts";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { type GrpcCall, GrpcCode, newMetadata } from "../../../lib/wire/grpc/types.ts";
import { createStateBlock } from "./block.ts";
import { alteredStore, loaded, memoryStore, statePorts, tableOf } from "./test-stores.ts";

const call: GrpcCall = {
  path: "",
  metadata: newMetadata(),
  peer: "test",
  peerIdentity: null,
  signal: new AbortController().signal,
  responseHeaders: newMetadata(),
  responseTrailers: newMetadata(),
};
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const text = (data: Uint8Array | undefined) => Buffer.from(data ?? []).toString();

function client(driver: StateStore | null = memoryStore()) {
  const { grpc } = createStateBlock(statePorts(driver === null ? tableOf<StateStore>() : tableOf(loaded("mystore", driver))));
  return async <I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> => {
    const method = grpc.find((candidate) => candidate.desc === desc);
    assert.ok(method?.kind === "unary");
    return (await method.handle(create(desc.input, request) as never, call)) as MessageShape<O>;
  };
}

const { getState, getBulkState, saveState, deleteState, deleteBulkState, executeStateTransaction, queryStateAlpha1 } = Dapr.method;
const storeName = "mystore";
const errorInfo = (reason: string) => [{ kind: "ErrorInfo", reason, metadata: null }];

test("save, get, delete bytes of any kind", async () => {
  const rpc = client();
  await rpc(saveState, {
    storeName,
    states: [{ key: "k", value: bytes("v1") }, { key: "b", value: new Uint8Array([0, 255]) }, { key: "e" }],
  });
  const answer = await rpc(getState, { storeName, key: "k" });
  assert.equal(text(answer.data), "v1");
  assert.ok(answer.etag);
  assert.deepEqual([...(await rpc(getState, { storeName, key: "b" })).data], [0, 255]);
  await rpc(deleteState, { storeName, key: "k" });
  const missing = await rpc(getState, { storeName, key: "k" });
  assert.deepEqual([missing.data.length, missing.etag], [0, ""]);
});

test("saves that are refused, with status and reason", async () => {
  const rpc = client();
  await rpc(saveState, { storeName });
  await assert.rejects(rpc(saveState, {}), { grpc: GrpcCode.INVALID_ARGUMENT, message: "state store  is not found" });
  for (const state of [{}, { value: bytes("v") }]) {
    await assert.rejects(rpc(saveState, { storeName, states: [state] }), {
      grpc: GrpcCode.INVALID_ARGUMENT,
      message: "state key cannot be empty",
      details: errorInfo("ERR_STATE_SAVE"),
    });
  }
  await assert.rejects(rpc(saveState, { storeName, states: [{ key: "invalid||key" }] }), {
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "input key/keyPrefix 'invalid||key' can't contain '||'",
  });
  const notJson = { key: "k", value: bytes("{"), metadata: { contentType: "application/json" } };
  await assert.rejects(rpc(saveState, { storeName, states: [notJson] }), { grpc: GrpcCode.INVALID_ARGUMENT, message: /value of key k/ });
});

test("no store and another store: details without metadata", async () => {
  await assert.rejects(client(null)(saveState, { storeName }), {
    grpc: GrpcCode.FAILED_PRECONDITION,
    message: "state store mystore is not configured",
    details: errorInfo("DAPR_STATE_NOT_CONFIGURED"),
  });
  await assert.rejects(client()(getState, { storeName: "other", key: "k" }), {
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "state store other is not found",
    details: errorInfo("DAPR_STATE_NOT_FOUND"),
  });
});

test("etags and concurrency", async () => {
  const rpc = client();
  const save = (value: string, more: object = {}) => rpc(saveState, { storeName, states: [{ key: "k", value: bytes(value), ...more }] });
  await save("1", { options: { concurrency: 1 } });
  const { etag } = await rpc(getState, { storeName, key: "k" });
  await save("2", { etag: { value: etag }, options: { concurrency: 1, consistency: 2 } });
  const conflict = { grpc: GrpcCode.ABORTED, details: errorInfo("ERR_STATE_SAVE") };
  await assert.rejects(save("3", { etag: { value: etag } }), conflict);
  await assert.rejects(save("3", { options: { concurrency: 1 } }), conflict);
  await save("4", { etag: { value: "" }, options: { concurrency: 2 } });
  await assert.rejects(rpc(deleteState, { storeName, key: "k", etag: { value: "x" } }), {
    grpc: GrpcCode.ABORTED,
    details: errorInfo("ERR_STATE_DELETE"),
  });
  const invalid = client(alteredStore({ set: async () => Promise.reject(new EtagError("invalid")) }));
  await assert.rejects(invalid(saveState, { storeName, states: [{ key: "k" }] }), { grpc: GrpcCode.INVALID_ARGUMENT });
});

test("ttl", async () => {
  const rpc = client(memoryStore(new FakeClock()));
  await rpc(saveState, { storeName, states: [{ key: "k", value: bytes("v"), metadata: { ttlInSeconds: "3" } }] });
  assert.equal((await rpc(getState, { storeName, key: "k" })).metadata["ttlExpireTime"], "2026-01-01T00:00:03Z");
});

test("bulk get and bulk delete", async () => {
  const rpc = client();
  await rpc(saveState, { storeName, states: ["a", "b", "c"].map((key) => ({ key, value: bytes(key) })) });
  const { items } = await rpc(getBulkState, { storeName, keys: ["c", "missing", "a"], parallelism: 1 });
  assert.deepEqual(
    items.map((item) => [item.key, text(item.data), item.error]),
    [
      ["c", "c", ""],
      ["missing", "", ""],
      ["a", "a", ""],
    ],
  );
  assert.equal((await rpc(getBulkState, { storeName })).items.length, 0);
  await rpc(deleteBulkState, { storeName, states: [{ key: "a" }, { key: "b" }] });
  await rpc(deleteBulkState, { storeName });
  assert.equal(text((await rpc(getState, { storeName, key: "a" })).data), "");
  await assert.rejects(rpc(deleteBulkState, { storeName, states: [{ key: "c", etag: { value: "x" } }, { key: "d" }] }), {
    grpc: GrpcCode.ABORTED,
    details: errorInfo("ERR_STATE_BULK_DELETE"),
  });
});

test("transactions", async () => {
  const rpc = client();
  await rpc(executeStateTransaction, { storeName });
  await rpc(executeStateTransaction, {
    storeName,
    operations: [
      { operationType: "upsert", request: { key: "a", value: bytes("1") } },
      { operationType: "upsert", request: { key: "b", value: bytes("1") } },
      { operationType: "delete", request: { key: "a" } },
    ],
  });
  assert.equal(text((await rpc(getState, { storeName, key: "a" })).data), "");
  assert.equal(text((await rpc(getState, { storeName, key: "b" })).data), "1");
  await assert.rejects(rpc(executeStateTransaction, { storeName, operations: [{ operationType: "increment", request: { key: "a" } }] }), {
    grpc: GrpcCode.UNIMPLEMENTED,
    message: "operation type increment not supported",
    details: errorInfo("ERR_NOT_SUPPORTED_STATE_OPERATION"),
  });
  const conflict = { operationType: "delete", request: { key: "b", etag: { value: "x" } } };
  await assert.rejects(rpc(executeStateTransaction, { storeName, operations: [conflict] }), {
    grpc: GrpcCode.INTERNAL,
    details: errorInfo("ERR_STATE_TRANSACTION"),
  });
  await assert.rejects(client(alteredStore({ transact: undefined }))(executeStateTransaction, { storeName }), {
    grpc: GrpcCode.UNIMPLEMENTED,
    message: "state store mystore doesn't support transactions",
  });
});

test("a query is not supported", async () => {
  await assert.rejects(client()(queryStateAlpha1, { storeName, query: "{}" }), {
    grpc: GrpcCode.INTERNAL,
    message: "state store does not support querying",
    details: [
      { kind: "ErrorInfo", reason: "DAPR_STATE_QUERYING_NOT_SUPPORTED", metadata: null },
      { kind: "ResourceInfo", type: "state", name: "mystore", owner: "", description: "" },
    ],
  });
});
