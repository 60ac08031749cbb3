// `outrigger mtls renew-certificate` over the folder of a sentry that runs: it signs with the new authority without a restart.
import assert from "node:assert/strict";
import { test } from "node:test";
import { verifySvid } from "../../../lib/security/svid.ts";
import { readTrustAnchors } from "../../../lib/security/trust-bundle.ts";
import { createCsr, csrPem } from "../../../lib/security/x509/csr.ts";
import { generateKey } from "../../../lib/security/x509/keys.ts";
import { readCertificatesPem } from "../../../lib/security/x509/read-certificate.ts";
import { Folder } from "../../harness/folder.ts";
import { outriggerDone } from "../../harness/outrigger.ts";
import { sentry } from "../../harness/sentry.ts";

test("a running sentry takes up the renewed authority, and mtls commands look at its folder", async () => {
  await using ca = await sentry();
  using home = new Folder("renew");
  const [old] = (await ca.rotation()).anchors;
  const mtls = (...args: string[]) => outriggerDone(["mtls", ...args, "--issuer-credentials", ca.credentials], { home });
  const renewed = await mtls("renew-certificate", "--valid-until", "10");
  assert.equal(renewed.code, 0, renewed.output);
  assert.match(
    renewed.output,
    /^✅ Renewed the certificate authority in .*; it expires on .*\n⚠️ {2}Programs that run trust the old root alone/,
  );
  assert.match((await mtls("expiry")).output, /^Root certificate expires in 9 days.*\nIssuer certificate expires in 9 days/);
  assert.match((await mtls("check")).output, /^✅ The certificate authority in .* is in force\.$/);
  await ca.eventually("the new root is in force", async () => (await ca.rotation()).anchors[0]?.sha256 !== old?.sha256);
  const certificateSigningRequest = Buffer.from(csrPem(createCsr({ key: await generateKey("ed25519") })));
  const { workloadCertificate } = await ca.sign({ id: "app", namespace: "ns", certificateSigningRequest });
  verifySvid(readCertificatesPem(Buffer.from(workloadCertificate)), readTrustAnchors(ca.anchors()).anchors, Date.now());
});

test("flags that contradict each other change nothing and are explained", async () => {
  await using ca = await sentry();
  using home = new Folder("renew");
  const before = ca.anchors();
  const cases: readonly (readonly [string[], RegExp])[] = [
    [["--valid-until", "0"], /--valid-until takes 1 to 3650 days/],
    [["--ca-root-certificate", "ca.crt"], /give --ca-root-certificate, --issuer-public-certificate and --issuer-private-key together/],
    [["--private-key", "absent.key"], /nothing was changed: cannot read absent\.key: ENOENT/],
    [["--kubernetes"], /unknown flag: --kubernetes/],
  ];
  for (const [flags, message] of cases) {
    const { code, output } = await outriggerDone(["mtls", "renew-certificate", ...flags, "--issuer-credentials", ca.credentials], { home });
    assert.equal(code, 1);
    assert.match(output, message);
  }
  assert.equal(ca.anchors(), before);
});
