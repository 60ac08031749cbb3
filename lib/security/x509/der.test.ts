import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { testAuthority } from "../test-authority.ts";
import { createCsr, csrFromPem, readCsr } from "./csr.ts";
import { childrenOf, encoded, integer, oid, oidOf, parseDer, sequence, sliceAt, Tag, taggedBytes, time, toDer } from "./der.ts";
import { generateKey, readPrivateKeyPem } from "./keys.ts";
import { readPem, writePem } from "./pem.ts";
import { readCertificate, readCertificatesPem } from "./read-certificate.ts";
import { X509Error } from "./x509-error.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");
const reasonOf = (run: () => unknown): string => {
  try {
    run();
    return "accepted";
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
    return error.reason;
  }
};

const notDer: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["a tag alone", "30"],
  ["indefinite length", "3080 0201 01 0000"],
  ["a length longer than the input", "3005 0201 01"],
  ["a child longer than its parent", "3003 0202 01 01"],
  ["bytes behind the end", "3003 0201 01 00"],
  ["a length that could be shorter", "308103 020101"],
  ["a length with a leading zero", "30820083"],
  ["a tag of several bytes", "1f8101 0100"],
  ["an integer with a needless zero", "3004 0202 0001"],
  ["an integer with a needless ff", "3004 0202 ff80"],
  ["an empty integer", "3002 0200"],
  ["a true that is not ff", "3003 0101 01"],
  ["a null with contents", "3003 0501 00"],
  ["a primitive sequence", "3002 1000"],
  ["a bit string of unused bits only", "3003 0301 07"],
  ["unused bits that are set", "3004 0302 0101"],
  ["an unfinished object identifier", "3003 0601 80"],
];
for (const [what, hex] of notDer) {
  test(`refuses ${what}`, () =>
    assert.equal(
      reasonOf(() => parseDer(bytes(hex), 1000, "input")),
      "der",
    ));
}

test("refuses too many bytes, too deep nesting and too many values", () => {
  assert.equal(
    reasonOf(() => parseDer(Buffer.alloc(101), 100, "input")),
    "too_large",
  );
  let deep = Buffer.from([0x05, 0x00]);
  for (let level = 0; level < 17; level++) deep = Buffer.concat([Buffer.from([0x30, deep.length]), deep]);
  assert.equal(
    reasonOf(() => parseDer(deep, 1000, "input")),
    "der",
  );
  const many = toDer(sequence(...Array.from({ length: 5000 }, () => integer(1))));
  assert.equal(
    reasonOf(() => parseDer(many, 100_000, "input")),
    "der",
  );
});

test("slices are the exact bytes", () => {
  const der = toDer(sequence(sequence(integer(5), oid("1.2.840.10045.4.3.2")), integer(300)));
  assert.equal(sliceAt(der, [0, 0]).toString("hex"), "020105");
  assert.equal(sliceAt(der, [1]).toString("hex"), "0202012c");
  assert.equal(
    reasonOf(() => sliceAt(der, [2])),
    "structure",
  );
  assert.deepEqual(toDer(encoded(der)), der);
});

test("numbers, identifiers and times are encoded as X.690 wants them", () => {
  const hex = (node: Parameters<typeof toDer>[0]) => toDer(node).toString("hex");
  assert.deepEqual([hex(integer(0)), hex(integer(128)), hex(integer(bytes("0000ff01")))], ["020100", "02020080", "020300ff01"]);
  assert.equal(oidOf(parseDer(toDer(oid("1.3.6.1.5.5.7.3.1")), 100, "oid"), "oid"), "1.3.6.1.5.5.7.3.1");
  assert.equal(toDer(time(Date.UTC(2049, 11, 31, 23, 59, 59, 999))).toString("latin1"), "\x17\x0d491231235959Z");
  assert.equal(toDer(time(Date.UTC(2050, 0, 1))).toString("latin1"), "\x18\x0f20500101000000Z");
  assert.equal(hex(taggedBytes(6, "a:b")), "8603613a62");
  assert.equal(childrenOf(parseDer(bytes("3006 020101 020102"), 100, "x"), Tag.sequence, "x").length, 2);
});

test("PEM: what is written is read back, whatever stands around it", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (der) => {
      const blocks = readPem(`comment\r\n${writePem("CERTIFICATE", der).replaceAll("\n", "\r\n")}more\n${writePem("X", der)}`);
      assert.deepEqual(
        blocks.map((block) => [block.label, block.der]),
        [
          ["CERTIFICATE", Buffer.from(der)],
          ["X", Buffer.from(der)],
        ],
      );
    }),
  );
});

test("PEM: refuses what is not whole", () => {
  const begin = "-----BEGIN A-----\n";
  assert.equal(
    reasonOf(() => readPem(`${begin}AAAA\n`)),
    "pem",
  );
  assert.equal(
    reasonOf(() => readPem(`${begin}AAAA\n-----END B-----\n`)),
    "pem",
  );
  assert.equal(
    reasonOf(() => readPem(`${begin}${begin}AAAA\n-----END A-----\n`)),
    "pem",
  );
  assert.equal(
    reasonOf(() => readPem(`${begin}AA A\n-----END A-----\n`)),
    "pem",
  );
  assert.equal(
    reasonOf(() => readPem(`${begin}\n-----END A-----\n`)),
    "pem",
  );
  assert.equal(
    reasonOf(() => readPem("x".repeat(101), 100)),
    "too_large",
  );
  assert.deepEqual(readPem("no block at all"), []);
});

test("readers of random and of damaged input throw nothing but X509Error", async () => {
  const authority = await testAuthority();
  const { key, chain } = await authority.identity("spiffe://td/ns/default/app", { dns: ["a.example"] });
  const csr = createCsr({ key, uris: ["spiffe://td/ns/default/app"], dns: ["a.example"] });
  const certificate = (chain[0] as (typeof chain)[0]).der;
  const anything = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
  const damage = fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { minLength: 1, maxLength: 4 });
  const damaged = (good: Buffer) =>
    damage.map((changes) => {
      const copy = Buffer.from(good);
      for (const [at, value] of changes) copy[at % copy.length] = value;
      return copy;
    });
  fc.assert(
    fc.property(fc.oneof(anything, damaged(csr), damaged(certificate)), (input) => {
      for (const read of [readCsr, readCertificate, readPrivateKeyPem, readCertificatesPem, csrFromPem]) reasonOf(() => read(input));
      reasonOf(() => readPrivateKeyPem(writePem("PRIVATE KEY", input)));
    }),
    { numRuns: 3000 },
  );
});

test("a request with any bit changed is refused", async () => {
  const key = await generateKey("ed25519");
  const csr = createCsr({ key, uris: ["spiffe://td/ns/default/app"] });
  const accepted: number[] = [];
  for (let bit = 0; bit < csr.length * 8; bit++) {
    const copy = Buffer.from(csr);
    copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
    if (reasonOf(() => readCsr(copy)) === "accepted") accepted.push(bit);
  }
  assert.deepEqual(accepted, []);
});
