import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { encodeFrame, FrameDecoder } from "./framing.ts";
import { GrpcCode, GrpcStatusError } from "./types.ts";

const maxBytes = 1000;

function refuses(code: GrpcCode, message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof GrpcStatusError && error.code === code && message.test(error.message);
}

function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  pieces.push(bytes.subarray(at));
  return pieces;
}

function frame(flag: number, payload: Uint8Array, length = payload.length): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, payload]);
}

test("any cut of the bytes gives the same messages, compressed ones among them", () => {
  const message = fc.record({ bytes: fc.uint8Array({ maxLength: 200 }), gzip: fc.boolean() });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(60), { maxLength: 60 }), (messages, lengths) => {
      const bytes = Buffer.concat(messages.map((one) => (one.gzip ? frame(1, gzipSync(one.bytes)) : encodeFrame(one.bytes, maxBytes))));
      const decoder = new FrameDecoder(maxBytes, "gzip");
      const received: Buffer[] = [];
      for (const piece of cut(bytes, lengths)) decoder.push(piece, (one) => received.push(Buffer.from(one)));
      decoder.end();
      assert.deepEqual(
        received,
        messages.map((one) => Buffer.from(one.bytes)),
      );
    }),
  );
});

test("arbitrary bytes end in messages or a status, never in anything else", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }), (chunks) => {
      const decoder = new FrameDecoder(maxBytes, "gzip");
      let thrown: unknown = null;
      try {
        for (const chunk of chunks) decoder.push(Buffer.from(chunk), () => {});
        decoder.end();
      } catch (error) {
        thrown = error;
      }
      assert.ok(thrown === null || thrown instanceof GrpcStatusError);
    }),
  );
});

test("a message over the limit is refused by its prefix alone", () => {
  const decoder = new FrameDecoder(maxBytes);
  assert.throws(
    () => decoder.push(frame(0, Buffer.alloc(0), 1001), () => {}),
    refuses(GrpcCode.RESOURCE_EXHAUSTED, /^grpc: received message larger than max \(1001 vs\. 1000\)$/),
  );
});

test("the limit itself passes, and zero bytes are a message", () => {
  const decoder = new FrameDecoder(maxBytes);
  const sizes: number[] = [];
  decoder.push(Buffer.concat([encodeFrame(Buffer.alloc(maxBytes), maxBytes), encodeFrame(Buffer.alloc(0), maxBytes)]), (one) =>
    sizes.push(one.length),
  );
  assert.deepEqual(sizes, [maxBytes, 0]);
});

test("a message that inflates over the limit is refused", () => {
  const decoder = new FrameDecoder(maxBytes, "gzip");
  assert.throws(
    () => decoder.push(frame(1, gzipSync(Buffer.alloc(1_000_000).subarray(0, 300_000))), () => {}),
    refuses(GrpcCode.RESOURCE_EXHAUSTED, /larger than max/),
  );
});

test("malformed frames", () => {
  const cases: [Buffer, RegExp][] = [
    [frame(2, Buffer.from("x")), /unexpected payload format 2/],
    [frame(1, Buffer.from("x")), /compressed flag set with identity/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => new FrameDecoder(maxBytes).push(bytes, () => {}), refuses(GrpcCode.INTERNAL, message));
  }
  assert.throws(
    () => new FrameDecoder(maxBytes, "gzip").push(frame(1, Buffer.from("no gzip")), () => {}),
    refuses(GrpcCode.INTERNAL, /failed to decompress/),
  );
});

test("a stream that ends within a message is an error", () => {
  for (const bytes of [Buffer.from([0, 0]), frame(0, Buffer.from("abc"), 4)]) {
    const decoder = new FrameDecoder(maxBytes);
    decoder.push(bytes, () => assert.fail("no message is whole"));
    assert.throws(() => decoder.end(), refuses(GrpcCode.INTERNAL, /unexpected EOF/));
  }
});

test("what is too large is not sent", () => {
  assert.throws(
    () => encodeFrame(Buffer.alloc(1001), maxBytes),
    refuses(GrpcCode.RESOURCE_EXHAUSTED, /^grpc: trying to send message larger than max \(1001 vs\. 1000\)$/),
  );
});
