import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GrpcCode } from "../../kit/errors.ts";
import { metadataFromHeaders, metadataFromRaw, writeMetadata } from "./metadata.ts";
import { decodeMessage, encodeMessage, grpcCodeOfForeignReply, readStatus } from "./status.ts";
import { formatTimeout, parseTimeout } from "./timeout.ts";
import { newMetadata } from "./types.ts";

test("grpc-message: any text survives, and only printable ASCII goes out", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0x10ffff)), (points) => {
      const text = String.fromCodePoint(...points);
      const encoded = encodeMessage(text);
      assert.match(encoded, /^[ -~]*$/);
      assert.equal(decodeMessage(encoded), text.toWellFormed());
    }),
  );
  assert.equal(encodeMessage("100% sûr\r\n"), "100%25 s%C3%BBr%0D%0A");
});

test("grpc-message: what is no encoding stays, nothing throws", () => {
  assert.equal(decodeMessage("100% %zz %4"), "100% %zz %4");
  fc.assert(fc.property(fc.string(), (text) => assert.equal(typeof decodeMessage(text), "string")));
});

test("statuses: OK, absent, known, beyond the known, nonsense", () => {
  const read = (code?: string) => readStatus(code === undefined ? {} : { "grpc-status": code }, newMetadata);
  assert.equal(read(), undefined);
  assert.equal(read("0"), null);
  assert.equal(read("5")?.code, GrpcCode.NOT_FOUND);
  for (const odd of ["17", "-1", "x", ""]) assert.equal(read(odd)?.code, GrpcCode.UNKNOWN);
});

test("gRPC codes of a reply that is not gRPC", () => {
  assert.deepEqual([400, 404, 429, 502, 503, 504, 500].map(grpcCodeOfForeignReply), [13, 12, 14, 14, 14, 14, 2]);
});

test("timeouts: parsed in milliseconds, malformed is null, endless is cut to what a timer can", () => {
  assert.deepEqual(["1H", "2M", "3S", "4m", "5000u", "6000000n", "99999999H"].map(parseTimeout), [
    3_600_000,
    120_000,
    3000,
    4,
    5,
    6,
    2 ** 31 - 1,
  ]);
  for (const odd of ["", "5", "m", "-1m", "1.5S", "123456789m", "1x", " 1m"]) assert.equal(parseTimeout(odd), null);
});

test("timeouts: what is sent is never shorter than asked, and at most eight digits", () => {
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 1e15, noNaN: true }), (ms) => {
      const header = formatTimeout(ms);
      assert.match(header, /^[0-9]{1,8}[HMSmun]$/);
      assert.ok((parseTimeout(header) ?? 0) >= Math.min(ms, 2 ** 31 - 1));
    }),
  );
  assert.deepEqual([0, -5, Number.NaN, 1500, 0.5].map(formatTimeout), ["0n", "0n", "0n", "1500m", "500u"]);
});

test("metadata in: the protocol's own headers are dropped, repeats kept, prototypes harmless", () => {
  const metadata = metadataFromRaw([
    ":path",
    "/x",
    "te",
    "trailers",
    "grpc-timeout",
    "1S",
    "a",
    "1",
    "a",
    "2",
    "b-bin",
    "AA,BB",
    "__proto__",
    "p",
  ]);
  assert.deepEqual(Object.entries(metadata), [
    ["a", ["1", "2"]],
    ["b-bin", ["AA", "BB"]],
    ["__proto__", "p"],
  ]);
  assert.deepEqual(Object.entries(metadataFromHeaders({ "content-type": "x", a: ["1", "2"], b: "3" })), [
    ["a", ["1", "2"]],
    ["b", "3"],
  ]);
});

test("metadata out: nothing that is reserved, no header injection", () => {
  const metadata = Object.assign(newMetadata(), {
    ok: "1",
    many: ["1", "bad\n", "2"],
    te: "x",
    "grpc-status": "0",
    "content-type": "x",
    connection: "close",
    "user-agent": "x",
    "Upper-Case": "x",
    ":path": "/",
    crlf: "a\r\nb: c",
    wide: "\u010a",
  });
  const headers: Record<string, string | string[]> = {};
  writeMetadata(metadata, headers);
  assert.deepEqual(headers, { ok: "1", many: ["1", "2"] });
});
