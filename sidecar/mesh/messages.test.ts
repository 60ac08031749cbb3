// The hand-written codec against the generated one, in both directions.
import assert from "node:assert/strict";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  InternalInvokeRequestSchema,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseSchema,
} from "../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { StatusSchema } from "../../lib/proto/gen/google/rpc/status_pb.ts";
import { encodeFrame, FrameDecoder } from "../../lib/wire/grpc/framing.ts";
import type { RawStream } from "../../lib/wire/grpc/types.ts";
import type { AppRequest } from "../contract/ports.ts";
import { readBody } from "../contract/read-body.ts";
import { BodyReceiver } from "./body-receiver.ts";
import { decodeFrame, FrameWriter } from "./frames.ts";
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from "./messages.ts";

const text = fc.string({ unit: "grapheme" }).map((value) => value.toWellFormed());
const name = fc.stringMatching(/^[a-z][a-z-]{0,12}$/).filter((key) => key !== "host" && key !== "content-type" && !key.includes("for"));
const lists = fc.dictionary(name, fc.array(text, { minLength: 1, maxLength: 3 }), { maxKeys: 4, noNullPrototype: false });

function bytesOf(encoded: string): Buffer {
  return Buffer.from(encoded, "latin1");
}

function request(overrides: Partial<AppRequest>): AppRequest {
  return { verb: "GET", method: "m", query: "", headers: {}, contentType: null, body: null, contentLength: null, ...overrides };
}

test("requests: what is encoded here the generated code reads, and the other way round", () => {
  fc.assert(
    fc.property(lists, text, text, text, fc.uint8Array(), (headers, method, query, contentType, data) => {
      const encoded = encodeRequest(
        request({ headers, method, query, contentType, verb: "PATCH", typeUrl: "t" }),
        { "x-Added": ["é"] },
        data,
      );
      const read = fromBinary(InternalInvokeRequestSchema, bytesOf(encoded));
      assert.equal(read.ver, 1);
      assert.deepEqual(read.metadata["x-Added"]?.values, ["é"]);
      assert.equal(Object.keys(read.metadata).length, Object.keys(headers).length + 1);
      assert.deepEqual([read.message?.method, read.message?.contentType], [method, contentType]);
      assert.deepEqual([read.message?.httpExtension?.verb, read.message?.httpExtension?.querystring], [9, query]);
      assert.deepEqual([read.message?.data?.typeUrl, Buffer.from(read.message?.data?.value ?? [])], ["t", Buffer.from(data)]);
      const back = decodeRequest(toBinary(InternalInvokeRequestSchema, read));
      const { headers: readHeaders, data: readData, ...rest } = back as NonNullable<typeof back>;
      assert.deepEqual({ ...readHeaders }, { ...headers, "x-added": ["é"] });
      assert.deepEqual(Buffer.from(readData ?? []), Buffer.from(data));
      assert.deepEqual(rest, { method, verb: "PATCH", query, contentType: contentType || null, typeUrl: "t" });
    }),
  );
});

test("responses: status, headers, trailers and details survive both ways", () => {
  fc.assert(
    fc.property(lists, text, fc.integer({ min: 0, max: 16 }), fc.uint8Array(), (headers, message, code, value) => {
      const details = toBinary(StatusSchema, create(StatusSchema, { code, message, details: [{ typeUrl: "d", value }] }));
      const response = { status: 200, grpc: { code, message, details }, headers, trailers: headers, contentType: "c", body: value };
      const read = fromBinary(InternalInvokeResponseSchema, bytesOf(encodeResponse(response, value)));
      assert.deepEqual([read.status?.code, read.status?.message, read.status?.details[0]?.typeUrl], [code, message, "d"]);
      const back = decodeResponse(toBinary(InternalInvokeResponseSchema, read));
      assert.deepEqual({ ...back?.response.headers }, { ...headers });
      assert.deepEqual({ ...back?.response.trailers }, { ...headers });
      assert.deepEqual([back?.response.grpc?.code, back?.response.grpc?.message], [code, message]);
      const status = fromBinary(StatusSchema, back?.response.grpc?.details ?? new Uint8Array());
      assert.deepEqual([status.code, status.message, status.details[0]?.typeUrl], [code, message, "d"]);
      assert.deepEqual(Buffer.from(back?.data ?? []), Buffer.from(value));
    }),
  );
  const http = decodeResponse(
    bytesOf(encodeResponse({ status: 404, grpc: null, headers: {}, trailers: {}, contentType: null, body: bytesOf("") }, null)),
  );
  assert.deepEqual([http?.response.status, http?.response.grpc, http?.response.contentType, http?.data], [404, null, null, null]);
});

test("credentials and the host stay here; a name given twice keeps all values; required parts are missed", () => {
  const entries = (key: string, values: string[]) => ({ [key]: { values } });
  const metadata = { ...entries("Dapr-Api-Token", ["s"]), ...entries("HOST", ["h"]), ...entries("X-A", ["1"]), ...entries("x-a", ["2"]) };
  const bytes = toBinary(InternalInvokeRequestSchema, create(InternalInvokeRequestSchema, { metadata, message: { method: "m" } }));
  assert.deepEqual({ ...decodeRequest(bytes)?.headers }, { "x-a": ["1", "2"] });
  assert.equal(decodeRequest(new Uint8Array()), null);
  assert.equal(decodeResponse(new Uint8Array()), null);
});

test("no bytes bring the decoders down, and fields of later versions are passed over", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      for (const decode of [decodeRequest, decodeResponse, decodeFrame]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.match((error as Error).message, /ends within a field|invalid varint|invalid wire type/);
        }
      }
    }),
    { numRuns: 2000 },
  );
  const unknown = Buffer.from("\xf8\x01\x05\xf9\x01abcdefgh\xfd\x01abcd\xfa\x01\x02ab\x1a\x03\x0a\x01m", "latin1");
  assert.equal(decodeRequest(unknown)?.method, "m");
});

class Recorder implements RawStream {
  readonly bytes: Buffer[] = [];
  ended = false;
  send(frame: Buffer, tail: Uint8Array | null): boolean {
    this.bytes.push(Buffer.concat([frame, tail ?? new Uint8Array()]));
    return true;
  }
  drained = () => Promise.resolve();
  end(frame: Buffer | null, tail: Uint8Array | null): void {
    if (frame) this.send(frame, tail);
    this.ended = true;
  }
  pause() {}
  resume() {}
}

test("frames: the generated code reads them, numbered from 0, with the head in the first only", async () => {
  for (const size of [0, 1, 4096, 4097, 65_536, 65_537, 200_000]) {
    const to = new Recorder();
    const body = Buffer.alloc(size, "ab");
    await new FrameWriter(to, encodeRequest(request({}), {}, null)).whole(body);
    assert.ok(to.ended);
    const read = to.bytes.map((bytes) => fromBinary(InternalInvokeRequestStreamSchema, bytes.subarray(5)));
    assert.deepEqual(
      to.bytes.map((bytes) => bytes.readUInt32BE(1)),
      to.bytes.map((bytes) => bytes.length - 5),
    );
    assert.deepEqual(
      read.map(({ request: head }) => head?.message?.method),
      ["m", ...read.slice(1).map(() => undefined)],
    );
    const payloads = read.flatMap(({ payload }) => payload ?? []);
    assert.deepEqual(
      payloads.map(({ seq }) => Number(seq)),
      payloads.map((_payload, at) => at),
    );
    assert.ok(Buffer.concat(payloads.map(({ data }) => data)).equals(body));
  }
});

test("frames: a gap in the numbers breaks the body", () => {
  const flow = { pause() {}, resume() {}, cancel() {} };
  const receiver = new BodyReceiver(flow, 10, () => {});
  receiver.push({ head: null, data: Buffer.from("a"), seq: 0 });
  assert.throws(() => receiver.push({ head: null, data: Buffer.from("c"), seq: 2 }), /invalid sequence number received: 2 \(expected: 1\)/);
});

test("frames: any cut of the bytes gives the same body, from our writer and from one that puts the number behind the data", async () => {
  const cuts = fc.array(fc.nat(30_000), { maxLength: 20 });
  const sizes = fc.array(fc.oneof(fc.nat(40), fc.nat(80_000)), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(sizes, cuts, fc.boolean(), async (parts, lengths, ours) => {
      const chunks = parts.map((size, at) => Buffer.alloc(size, 65 + at));
      const to = new Recorder();
      const writer = new FrameWriter(to, encodeRequest(request({}), {}, null));
      writer.open();
      if (ours) for (const chunk of chunks) writer.part(chunk);
      else {
        chunks.forEach((data, seq) => {
          const message = create(InternalInvokeRequestStreamSchema, { payload: { data, seq: BigInt(seq) } });
          to.bytes.push(encodeFrame(toBinary(InternalInvokeRequestStreamSchema, message), 1 << 20));
        });
      }
      const body = Promise.withResolvers<Uint8Array | Readable>();
      const receiver = new BodyReceiver({ pause() {}, resume() {}, cancel() {} }, null, body.resolve);
      const decoder = new FrameDecoder(1 << 20, "identity", receiver);
      let rest = Buffer.concat(to.bytes);
      for (const length of [...lengths, rest.length]) {
        decoder.push(rest.subarray(0, length), (bytes) => receiver.push(decodeFrame(bytes)));
        rest = rest.subarray(length);
      }
      decoder.end();
      receiver.end();
      assert.ok(Buffer.concat(chunks).equals(await readBody(await body.promise, 0)));
    }),
    { numRuns: 200 },
  );
});

test("frames: a gap is seen also where the number comes behind data that has been handed on", () => {
  const receiver = new BodyReceiver({ pause() {}, resume() {}, cancel() {} }, null, () => {});
  const message = create(InternalInvokeRequestStreamSchema, { payload: { data: Buffer.alloc(1000), seq: 7n } });
  const bytes = encodeFrame(toBinary(InternalInvokeRequestStreamSchema, message), 1 << 20);
  const decoder = new FrameDecoder(1 << 20, "identity", receiver);
  decoder.push(bytes.subarray(0, 100), () => {});
  assert.throws(() => decoder.push(bytes.subarray(100), () => {}), /invalid sequence number received: 7 \(expected: 0\)/);
});
