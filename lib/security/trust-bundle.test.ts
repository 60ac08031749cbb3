import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FakeClock } from "../kit/fake-clock.ts";
import { createLogger, silentLogger } from "../telemetry/log.ts";
import { type TestAuthority, testAuthority } from "./test-authority.ts";
import { FileTrustBundle, HeldTrustBundle, readTrustAnchors } from "./trust-bundle.ts";
import { X509Error } from "./x509/x509-error.ts";

let folder: string;
let one: TestAuthority;
let two: TestAuthority;
let three: TestAuthority;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "outrigger-trust-"));
  [one, two, three] = await Promise.all([testAuthority(), testAuthority(), testAuthority()]);
});
after(() => rmSync(folder, { recursive: true }));

/** Replaced the way careful writers do: by renaming. */
const replace = (path: string, content: string): void => {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
};
const serials = (bundle: { readonly anchors: readonly { readonly serial: string }[] }) => bundle.anchors.map(({ serial }) => serial);
const lines = () => {
  const seen: string[] = [];
  const log = createLogger({ level: "info", json: false, file: null, appId: "a", instance: "i", version: "v" }, (line) =>
    seen.push(/msg="([^"]*)/.exec(line)?.[1] ?? line),
  );
  return { seen, log };
};

test("text: every root once, comments dropped, none at all refused", () => {
  const read = readTrustAnchors(`# comment\n${one.rootPem}${two.rootPem}${one.rootPem}`);
  assert.deepEqual(serials(read), [one.root.serial, two.root.serial]);
  assert.equal(read.pem, one.rootPem + two.rootPem);
  assert.throws(() => readTrustAnchors("nothing"), X509Error);
});

test("announced anchors are added, withdrawn ones dropped, the user's own kept", () => {
  const bundle = new HeldTrustBundle(readTrustAnchors(one.rootPem + three.rootPem));
  let changes = 0;
  const stop = bundle.onChange(() => changes++);
  assert.equal(bundle.announce([one.root]), false);
  assert.equal(bundle.announce([one.root, two.root]), true);
  assert.deepEqual(serials(bundle), [one.root.serial, three.root.serial, two.root.serial]);
  assert.equal(bundle.announce([two.root]), true);
  assert.deepEqual(serials(bundle), [three.root.serial, two.root.serial]);
  assert.equal(changes, 2);
  stop();
  bundle.announce([one.root]);
  assert.equal(changes, 2);
});

test("a file: waited for, read again when its poll comes, bad content kept out and told once", async () => {
  const path = join(folder, "polled.crt");
  const clock = new FakeClock();
  const { seen, log } = lines();
  const bundle = new FileTrustBundle({ path, log, clock, pollMs: 5_000 });
  const abort = new AbortController();
  const started = bundle.start(abort.signal);
  await clock.untilWaiting();
  replace(path, one.rootPem);
  await clock.advance(1_000);
  await started;
  assert.deepEqual(serials(bundle), [one.root.serial]);

  replace(path, one.rootPem + two.rootPem);
  await bundle.reload();
  assert.deepEqual(serials(bundle), [one.root.serial, two.root.serial]);

  for (const content of ["garbage", "garbage", "other garbage"]) {
    replace(path, content);
    await bundle.reload();
  }
  assert.deepEqual(serials(bundle), [one.root.serial, two.root.serial]);
  replace(path, one.rootPem + two.rootPem);
  await bundle.reload();
  replace(path, two.rootPem);
  await bundle.reload();
  assert.deepEqual(serials(bundle), [two.root.serial]);
  abort.abort();
  assert.deepEqual(
    seen.map((line) => line.replaceAll(path, "FILE")),
    [
      "Trust anchors file 'FILE' not found, waiting...",
      "Trust anchors file 'FILE' found",
      "Watching trust anchors file 'FILE' for changes",
      "Trust anchors file changed, reloading trust anchors",
      "Trust anchors file 'FILE' cannot be used, keeping the last good ones: no CERTIFICATE block in PEM",
      "Trust anchors file 'FILE' is good again",
      "Trust anchors file changed, reloading trust anchors",
    ],
  );
});

test("a file: a change is noticed without the poll", async () => {
  const path = join(folder, "watched.crt");
  replace(path, one.rootPem);
  const bundle = new FileTrustBundle({ path, log: silentLogger, clock: new FakeClock() });
  const abort = new AbortController();
  await bundle.start(abort.signal);
  const changed = new Promise<void>((resolve) => bundle.onChange(resolve));
  replace(path, two.rootPem);
  await changed;
  assert.deepEqual(serials(bundle), [two.root.serial]);
  abort.abort();
});

test("a file: the poll finds what the watcher did not report", async () => {
  const path = join(folder, "silent.crt");
  replace(path, one.rootPem);
  const clock = new FakeClock();
  const bundle = new FileTrustBundle({ path, log: silentLogger, clock, pollMs: 5_000 });
  const abort = new AbortController();
  await bundle.start(abort.signal);
  const changed = new Promise<void>((resolve) => bundle.onChange(resolve));
  replace(path, three.rootPem);
  await clock.advance(5_000);
  await changed;
  assert.deepEqual(serials(bundle), [three.root.serial]);
  abort.abort();
});

test("a file: bad content at the start is an error, and so is giving up waiting", async () => {
  const path = join(folder, "bad.crt");
  replace(path, "garbage");
  await assert.rejects(new FileTrustBundle({ path, log: silentLogger }).start(new AbortController().signal), X509Error);
  const abort = new AbortController();
  const waiting = new FileTrustBundle({ path: join(folder, "never.crt"), log: silentLogger, clock: new FakeClock() }).start(abort.signal);
  abort.abort(new Error("stopped"));
  await assert.rejects(waiting, /stopped/);
});
