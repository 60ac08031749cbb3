import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createRoot } from "../../lib/security/x509/certificate.ts";
import { generateKey, privateKeyPem } from "../../lib/security/x509/keys.ts";
import { certificatesPem } from "../../lib/security/x509/read-certificate.ts";
import { readBundle } from "../../sentry/ca-bundle.ts";
import { credentialsOf, readRecord } from "../../sentry/rotation-record.ts";
import { makeIssuer } from "../../sentry/template.ts";
import { problemsOf, rotationOf } from "./authority-folder.ts";
import { type Renewal, renew } from "./renew.ts";

const now = Date.now();
const dayMs = 24 * 3600 * 1000;
const made = (validDays: number, rootKeyFile: string | null = null): Renewal => ({ kind: "made", validDays, rootKeyFile });

/** A folder with the authority that a sentry makes, and its record when `managed`. */
class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "renew-"));

  static async of(managed: boolean, phase: "steady" | "distributing" = "steady"): Promise<Folder> {
    const folder = new Folder();
    const template = { trustDomain: "mesh", namespace: "ns", ttlMs: dayMs, clockSkewMs: 0 };
    const [issuer, next] = await Promise.all([makeIssuer(template, now), makeIssuer(template, now)]);
    const steady = { phase: "steady", anchors: [issuer.root], issuer, longestLeafMs: 60_000, since: now - 1000 } as const;
    const state = phase === "steady" ? steady : { ...steady, phase, anchors: [issuer.root, next.root], next };
    const { anchors = "", issuerChain = "", issuerKey = "", rotation = "" } = credentialsOf(state);
    folder.write("ca.crt", anchors);
    folder.write("issuer.crt", issuerChain);
    folder.write("issuer.key", issuerKey);
    if (managed) folder.write("rotation.json", rotation);
    return folder;
  }

  write(name: string, text: string): string {
    writeFileSync(join(this.path, name), text);
    return name;
  }

  read(name: string): string {
    return readFileSync(join(this.path, name), "utf8");
  }

  bundle() {
    return readBundle(this.read("ca.crt"), this.read("issuer.crt"), this.read("issuer.key"));
  }

  /** Whether sentry will renew the root by itself. */
  get managed(): boolean {
    return readRecord(this.read("rotation.json"), this.bundle()) !== null;
  }

  renew(renewal: Renewal) {
    return renew(this.path, this.path, renewal, now);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

test("a new root and issuer live as long as asked, under the issuer's name of before", async () => {
  using folder = await Folder.of(false);
  const before = folder.bundle();
  const { oldRootVouches } = await folder.renew(made(30));
  const after = folder.bundle();
  assert.equal(oldRootVouches, false);
  assert.equal(after.endsAt, Math.floor((now + 30 * dayMs) / 1000) * 1000);
  assert.deepEqual(after.chain[0]?.subject, before.chain[0]?.subject);
  assert.notDeepEqual(after.root.subjectDer, before.root.subjectDer);
  assert.equal(after.anchors.length, 1);
  assert.deepEqual(problemsOf(folder.path, now), []);
});

test("over a key that was kept, the root of before vouches for the new issuer", async () => {
  using folder = await Folder.of(false);
  const key = await generateKey("ecdsa-p256");
  folder.write("root.key", privateKeyPem(key.privateKey));
  assert.equal((await folder.renew(made(10, "root.key"))).oldRootVouches, false);
  const first = folder.bundle();
  assert.equal((await folder.renew(made(20, join(folder.path, "root.key")))).oldRootVouches, true);
  const second = folder.bundle();
  assert.ok(second.endsAt > first.endsAt);
  assert.ok(second.chain[0]?.x509.verify(first.root.publicKey));
  assert.deepEqual(second.root.subjectDer, first.root.subjectDer);
});

test("certificates that are brought are put in place only when they are an authority in force", async () => {
  using folder = await Folder.of(false);
  using theirs = await Folder.of(false);
  using others = await Folder.of(false);
  const untouched = folder.bundle().chainPem;
  const of = (root: Folder, issuer: Folder, key: Folder): Renewal => ({
    kind: "given",
    root: join(root.path, "ca.crt"),
    issuer: join(issuer.path, "issuer.crt"),
    issuerKey: join(key.path, "issuer.key"),
  });
  await assert.rejects(folder.renew(of(others, theirs, theirs)), /issuer chain does not belong to trust anchors/);
  await assert.rejects(folder.renew(of(theirs, theirs, others)), /issuer key does not match issuer certificate/);
  await assert.rejects(folder.renew({ kind: "given", root: "no", issuer: "no", issuerKey: "no" }), /cannot read no: ENOENT/);
  const late = renew(folder.path, folder.path, of(theirs, theirs, theirs), now + 2 * dayMs);
  await assert.rejects(late, /the certificates given expired on/);
  assert.equal(folder.bundle().chainPem, untouched);
  await folder.renew(of(theirs, theirs, theirs));
  assert.equal(folder.bundle().chainPem, theirs.bundle().chainPem);
});

test("a root that its sentry renews by itself goes on being renewed, unless the user keeps the key or brings it", async () => {
  using folder = await Folder.of(true);
  await folder.renew(made(30));
  assert.equal(folder.managed, true);
  folder.write("root.key", privateKeyPem((await generateKey("ed25519")).privateKey));
  await folder.renew(made(30, "root.key"));
  assert.equal(folder.managed, false);
});

test("a rotation that is under way is told, and over when the authority is renewed", async () => {
  using folder = await Folder.of(true, "distributing");
  assert.match(rotationOf(folder.path) ?? "", /^the new root is being handed out since/);
  await folder.renew(made(30));
  assert.equal(rotationOf(folder.path), null);
  assert.equal(folder.managed, true);
});

test("an authority that cannot be read is replaced all the same", async () => {
  using folder = await Folder.of(true);
  folder.write("issuer.crt", "nothing");
  await folder.renew(made(1));
  assert.deepEqual(problemsOf(folder.path, now), []);
});

test("a check names every expired certificate and an issuer that the root has not signed", async () => {
  using folder = await Folder.of(false);
  assert.deepEqual(
    problemsOf(folder.path, now + 2 * dayMs).map((problem) => problem.replace(/ on .*/, "")),
    ["Root certificate expired", "Issuer certificate expired"],
  );
  const key = await generateKey("ed25519");
  const root = createRoot({ key, organization: "other", validity: { notBefore: now - 1000, notAfter: now + dayMs } });
  folder.write("ca.crt", certificatesPem([root]));
  assert.deepEqual(problemsOf(folder.path, now), ["the issuer certificate is signed by none of the roots in ca.crt"]);
});
