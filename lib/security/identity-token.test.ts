import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { SignCertificateRequest_TokenValidator as Validator } from "../proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { readIdentityToken } from "./identity-token.ts";
import { readJwtSvid } from "./jwt-svid.ts";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "outrigger-token-"));
});
after(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

test("in Kubernetes the projected token, the older one behind it, else none", async () => {
  const [current, older] = [file("current", "new"), file("older", "old")];
  const none = join(folder, "none");
  const read = (kubernetes: boolean, ...projected: string[]) => readIdentityToken({ file: null, kubernetes, projected });
  assert.deepEqual(await read(true, current, older), { token: "new", validator: Validator.KUBERNETES });
  assert.deepEqual(await read(true, none, older), { token: "old", validator: Validator.KUBERNETES });
  assert.deepEqual(await read(true, none, none), { token: "", validator: Validator.UNKNOWN });
  assert.deepEqual(await read(false, current, older), { token: "", validator: Validator.UNKNOWN });
});

test("a token file is read anew each time, and not beyond its limit", async () => {
  const path = file("rotating", "one\n");
  const read = () => readIdentityToken({ file: path, kubernetes: false });
  assert.equal((await read()).token, "one");
  file("rotating", "two");
  assert.equal((await read()).token, "two");
  file("rotating", "x".repeat(65_537));
  await assert.rejects(read(), /more than 65536 bytes/);
});

const jwtOf = (claims: unknown): string => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;

test("a JWT SVID: audiences as one or many, expiry in milliseconds", () => {
  assert.deepEqual(readJwtSvid(jwtOf({ exp: 5, aud: "a" })).audiences, ["a"]);
  const { audiences, expiresAt } = readJwtSvid(jwtOf({ exp: 5, aud: ["a", "b"] }));
  assert.deepEqual([audiences, expiresAt], [["a", "b"], 5000]);
});

test("a malformed JWT is refused by an error that does not quote it", () => {
  const secret = "s3cret-token";
  const bad = [
    secret,
    `${secret}.${secret}.${secret}`,
    jwtOf({ aud: "a" }),
    jwtOf({ exp: "5", aud: "a" }),
    jwtOf({ exp: 5 }),
    jwtOf({ exp: 5, aud: [] }),
    jwtOf(null),
    jwtOf([1]),
  ];
  for (const token of bad) {
    assert.throws(
      () => readJwtSvid(token),
      (error: Error) => /^(error parsing JWT|JWT audience)/.test(error.message) && !error.message.includes(secret),
    );
  }
  fc.assert(
    fc.property(fc.jsonValue(), (claims) => {
      try {
        readJwtSvid(jwtOf(claims));
      } catch (error) {
        assert.match((error as Error).message, /JWT/);
      }
    }),
  );
});
