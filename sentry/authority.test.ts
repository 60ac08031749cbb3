// The pump of the rotation over a store whose process can die at every single file operation.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../lib/kit/fake-clock.ts";
import type { Authority } from "./authority.ts";
import { readBundle } from "./ca-bundle.ts";
import { hourMs, MemoryFiles, mtls, paths, rotation, testAuthority } from "./test-mesh.ts";

const anchorsOf = (authority: Authority): readonly string[] => authority.status().anchors.map(({ sha256 }) => sha256);

/** Reloading waits for everything that was under way. */
async function settle(authority: Authority): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await authority.reload();
}

async function advance(authority: Authority, clock: FakeClock, byMs: number, stepMs = 60_000): Promise<void> {
  for (let left = byMs; left > 0; left -= stepMs) {
    await clock.advance(Math.min(left, stepMs));
    await settle(authority);
  }
}

test("a first start makes a root and an issuer that a second start reads", async () => {
  const files = new MemoryFiles();
  const first = testAuthority({ files });
  await first.load();
  const second = testAuthority({ files });
  await second.load();
  assert.deepEqual(anchorsOf(second), anchorsOf(first));
  assert.equal(second.status().managed, true);
  await Promise.all([first.close(), second.close()]);
});

test("a root passes through its three phases by itself", async () => {
  const clock = new FakeClock();
  const authority = testAuthority({ clock });
  await authority.load();
  authority.serving();
  const [old] = anchorsOf(authority);
  const issuer = authority.signing.bundle.chainPem;
  await advance(authority, clock, 18 * hourMs + 60_000);
  assert.equal(authority.status().phase, "distributing");
  const both = anchorsOf(authority);
  assert.deepEqual([both.length, both[0]], [2, old]);
  assert.equal(authority.signing.bundle.chainPem, issuer, "the old issuer signs on");
  await advance(authority, clock, hourMs + 14 * 60_000);
  assert.equal(authority.status().phase, "retiring");
  assert.notEqual(authority.signing.bundle.chainPem, issuer);
  assert.deepEqual(anchorsOf(authority), both);
  await advance(authority, clock, hourMs + 14 * 60_000);
  assert.equal(authority.status().phase, "steady");
  assert.deepEqual(anchorsOf(authority), [both[1]]);
  await authority.close();
});

/** Runs a whole rotation; answers the authority at its end. */
async function rotate(files: MemoryFiles, clock: FakeClock): Promise<Authority> {
  const authority = testAuthority({ files, clock });
  await authority.load();
  authority.serving();
  await advance(authority, clock, 22 * hourMs);
  return authority;
}

test("a process that dies at any write of a rotation leaves what the next one goes on from", async () => {
  const count = new MemoryFiles();
  const makeWith = async (files: MemoryFiles) => {
    const authority = testAuthority({ files });
    await authority.load();
    await authority.close();
  };
  await makeWith(count);
  for (let operations = 0; ; operations++) {
    const files = new MemoryFiles();
    for (const [path, text] of count.texts) files.texts.set(path, text);
    const old = readBundle(text(files, paths.anchors), text(files, paths.issuerChain), text(files, paths.issuerKey)).root;
    const clock = new FakeClock();
    await clock.advance(18 * hourMs);
    // The same steps as in rotate(), with a new process for each, the power failing after so many operations in all.
    files.writesLeft = operations;
    const dying = await steps(files, clock);
    const died = files.writesLeft < 0;
    files.writesLeft = Number.POSITIVE_INFINITY;
    const next = testAuthority({ files, clock });
    await next.load();
    assert.ok(next.signing.bundle.anchors.some((anchor) => anchor.der.equals(next.signing.bundle.root.der)));
    next.serving();
    await advance(next, clock, 5 * hourMs, hourMs / 2);
    const { anchors, phase } = next.status();
    assert.deepEqual([phase, anchors.length], ["steady", 1], `after ${operations} operations (${dying})`);
    assert.notEqual(anchors[0]?.sha256, old.x509.fingerprint256.replaceAll(":", "").toLowerCase());
    await next.close();
    if (!died) break;
  }
});

function text(files: MemoryFiles, path: string): string {
  return files.texts.get(path) ?? "";
}

/** Three starts, one per phase; answers the last phase reached. */
async function steps(files: MemoryFiles, clock: FakeClock): Promise<string> {
  let phase = "none";
  for (let start = 0; start < 3; start++) {
    const authority = testAuthority({ files, clock });
    try {
      await authority.load();
      authority.serving();
      phase = authority.status().phase ?? "none";
      await clock.advance(2 * hourMs);
      await authority.reload();
    } catch {
      // The power is gone.
    }
    await authority.close();
  }
  return phase;
}

test("an authority that somebody put in place is read at once and never rotated", async () => {
  const [files, theirs, clock] = [new MemoryFiles(), new MemoryFiles(), new FakeClock()];
  const authority = testAuthority({ files, clock });
  await authority.load();
  const other = testAuthority({ files: theirs, clock, trustDomain: "corp.example" });
  await other.load();
  for (const path of [paths.anchors, paths.issuerChain, paths.issuerKey]) files.texts.set(path, text(theirs, path));
  const given = anchorsOf(other);
  await authority.reload();
  assert.deepEqual(anchorsOf(authority), given);
  assert.deepEqual([authority.status().managed, authority.status().phase], [false, null]);
  await advance(authority, clock, 20 * hourMs);
  assert.deepEqual(anchorsOf(authority), given);
  await Promise.all([authority.close(), other.close()]);
});

test("a half-written authority never replaces a good one, and says so", async () => {
  const files = new MemoryFiles();
  const authority = testAuthority({ files });
  await authority.load();
  const before = anchorsOf(authority);
  files.texts.set(paths.issuerChain, "-----BEGIN CERTIFICATE-----\nMIIB");
  await authority.reload();
  assert.deepEqual(anchorsOf(authority), before);
  assert.match(authority.status().problem ?? "", /keeping the last good credentials/);
  await authority.close();
});

test("a key that does not fit the issuer, and a part that is missing, are refused", async () => {
  const [files, other] = [new MemoryFiles(), new MemoryFiles()];
  const [one, two] = [testAuthority({ files }), testAuthority({ files: other })];
  await Promise.all([one.load(), two.load()]);
  files.texts.set(paths.issuerKey, text(other, paths.issuerKey));
  await assert.rejects(testAuthority({ files }).load(), /does not match/);
  files.texts.delete(paths.issuerKey);
  await assert.rejects(testAuthority({ files }).load(), /found anchors and issuerChain but not issuerKey; give all three/);
  await Promise.all([one.close(), two.close()]);
});

test("an issuer that has expired ends the start, unless the root may be renewed", async () => {
  const [files, clock] = [new MemoryFiles(), new FakeClock()];
  const first = testAuthority({ files, clock });
  await first.load();
  await first.close();
  await clock.advance(25 * hourMs);
  await assert.rejects(testAuthority({ files, clock, rotation: { ...rotation, policy: "off" } }).load(), /has expired at/);
  const renewed = testAuthority({ files, clock });
  await renewed.load();
  assert.ok(renewed.signing.bundle.endsAt > clock.now());
  await renewed.close();
});

test("a store that cannot be written delays the rotation and is named", async () => {
  const [files, clock] = [new MemoryFiles(), new FakeClock()];
  const authority = await rotate(files, clock);
  const before = anchorsOf(authority);
  files.replace = () => Promise.reject(new Error("EROFS: read-only file system"));
  await advance(authority, clock, 15 * hourMs);
  assert.deepEqual(anchorsOf(authority), before);
  assert.match(authority.status().problem ?? "", /The rotation of the root waits: EROFS/);
  await authority.close();
});

test("longer certificates of a new setting are on record before the first is signed", async () => {
  const [files, clock] = [new MemoryFiles(), new FakeClock()];
  const first = testAuthority({ files, clock });
  await first.load();
  await first.close();
  const longer = testAuthority({ files, clock, mtls: { ...mtls, leafTtlMs: 3 * hourMs } });
  await longer.load();
  assert.match(text(files, paths.rotation), /"longestLeafMs": 10800000/);
  await longer.close();
});
