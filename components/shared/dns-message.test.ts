import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DnsMessage, decodeMessage, encodeMessage, RecordType } from "./dns-message.ts";

const message: DnsMessage = {
  isResponse: true,
  questions: [{ name: "my\\.app.local.", type: RecordType.PTR }],
  records: [
    { type: RecordType.PTR, name: "app.local.", ttlSeconds: 3200, flush: false, target: "host:1.app.local." },
    { type: RecordType.SRV, name: "host:1.app.local.", ttlSeconds: 3200, flush: true, port: 50002, target: "host.local." },
    { type: RecordType.TXT, name: "host:1.app.local.", ttlSeconds: 0, flush: false, texts: ["app", "é"] },
    { type: RecordType.A, name: "host.local.", ttlSeconds: 120, flush: false, address: "192.0.2.7" },
    { type: RecordType.AAAA, name: "host.local.", ttlSeconds: 120, flush: false, address: "fe80:0:0:0:0:0:0:1" },
  ],
};

test("what is encoded is decoded", () => {
  assert.deepEqual(decodeMessage(encodeMessage(message)), message);
  const short = encodeMessage({
    ...message,
    records: [{ type: RecordType.AAAA, name: "h.", ttlSeconds: 1, flush: false, address: "fe80::1" }],
  });
  assert.deepEqual(decodeMessage(short)?.records, [
    { type: RecordType.AAAA, name: "h.", ttlSeconds: 1, flush: false, address: "fe80:0:0:0:0:0:0:1" },
  ]);
});

test("compressed names are followed, records of other types passed over", () => {
  const bytes = Buffer.from(
    "000084000000000200000000" +
      "03617070056c6f63616c00" +
      "0001000100000e10" +
      "0003010203" +
      "c00c" +
      "000c000100000e10" +
      "0007" +
      "04686f7374c00c",
    "hex",
  );
  // The first record claims to be an address of three bytes; the second is a PTR whose names point back.
  assert.deepEqual(decodeMessage(bytes)?.records, [
    { type: RecordType.PTR, name: "app.local.", ttlSeconds: 3600, flush: false, target: "host.app.local." },
  ]);
});

test("pointers that loop, and anything else, never throw or hang", () => {
  assert.equal(decodeMessage(Buffer.from("000084000001000000000000c00c000c0001", "hex")), null);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeMessage(Buffer.from(bytes));
    }),
  );
  const valid = encodeMessage(message);
  fc.assert(
    fc.property(fc.nat(valid.length - 1), fc.nat(255), (at, byte) => {
      const bent = Buffer.from(valid);
      bent[at] = byte;
      decodeMessage(bent);
      decodeMessage(bent.subarray(0, at));
    }),
  );
});

test("names and texts that DNS cannot carry are refused", () => {
  const name = `${"x".repeat(64)}.local.`;
  assert.throws(() => encodeMessage({ isResponse: false, questions: [{ name, type: RecordType.PTR }], records: [] }), /63 bytes/);
});
