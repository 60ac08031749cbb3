// A whole rotation of a real sentry with certificates of seconds, killed in every phase: workloads that renew as ours do
// trust each other and sentry at every moment, and none of them is ever started again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { verifySvid } from "../../../lib/security/svid.ts";
import { readTrustAnchors } from "../../../lib/security/trust-bundle.ts";
import { createCsr, csrPem } from "../../../lib/security/x509/csr.ts";
import { generateKey } from "../../../lib/security/x509/keys.ts";
import { type Certificate, readCertificatesPem } from "../../../lib/security/x509/read-certificate.ts";
import { type Sentry, sentry } from "../../harness/sentry.ts";

const config = `
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: sentry }
spec:
  mtls: { workloadCertTTL: 3s, allowedClockSkew: 500ms }
`;
const flags = { "root-ttl": "18s", "root-rotation-before": "9s", "root-rotation-overlap": "500ms" };
const renewEveryMs = 400;

/** Holds anchors and a certificate, and renews like a sidecar, over a new connection that trusts only its own anchors. */
class Workload {
  readonly #ca: Sentry;
  readonly #id: string;
  anchors: string;
  chain: readonly Certificate[] = [];
  renewals = 0;

  constructor(ca: Sentry, id: string) {
    this.#ca = ca;
    this.#id = id;
    this.anchors = ca.anchors();
  }

  async renew(): Promise<void> {
    const certificateSigningRequest = Buffer.from(csrPem(createCsr({ key: await generateKey("ecdsa-p256") })));
    const channel = this.#ca.channel(this.anchors);
    try {
      const response = await this.#ca.sign({ id: this.#id, namespace: "ns", certificateSigningRequest }, channel);
      this.chain = readCertificatesPem(Buffer.from(response.workloadCertificate));
      this.anchors = Buffer.from(response.trustChainCertificates[0] as Uint8Array).toString();
      this.renewals++;
    } finally {
      await channel.close();
    }
  }
}

function checkTrust(workloads: readonly Workload[]): void {
  for (const caller of workloads) {
    for (const callee of workloads) verifySvid(caller.chain, readTrustAnchors(callee.anchors).anchors, Date.now());
  }
}

test("a root is rotated under load, with sentry killed in each phase", async () => {
  await using ca = await sentry({ config, flags });
  const workloads = ["one", "two", "three"].map((id) => new Workload(ca, id));
  for (const workload of workloads) await workload.renew();
  const [old] = (await ca.rotation()).anchors;
  const toKillIn = new Set<string>(["steady", "distributing", "retiring"]);
  const seen: string[] = [];
  let next = 0;
  for (let done = false; !done; ) {
    checkTrust(workloads);
    const { phase, anchors, problem } = await ca.rotation();
    assert.equal(problem, null);
    if (seen.at(-1) !== phase) seen.push(String(phase));
    done = phase === "steady" && anchors.every(({ sha256 }) => sha256 !== old?.sha256);
    if (toKillIn.delete(String(phase))) {
      await ca.kill();
      await ca.startProcess();
    }
    // One at a time, so that their certificates are of different ages.
    await (workloads[next++ % workloads.length] as Workload).renew();
    await new Promise((resolve) => setTimeout(resolve, renewEveryMs));
  }
  assert.deepEqual(seen, ["steady", "distributing", "retiring", "steady"]);
  assert.equal(toKillIn.size, 0);
  checkTrust(workloads);
});

test("an authority that is put in place is in force without a restart, and open connections stay", async () => {
  await using theirs = await sentry();
  await using ca = await sentry();
  const channel = ca.channel();
  const certificateSigningRequest = Buffer.from(csrPem(createCsr({ key: await generateKey("ed25519") })));
  const request = { id: "app", namespace: "ns", certificateSigningRequest };
  await ca.sign(request, channel);
  const { readFileSync } = await import("node:fs");
  for (const name of ["ca.crt", "issuer.crt", "issuer.key"]) ca.folder.write(name, readFileSync(`${theirs.credentials}/${name}`, "utf8"));
  const [wanted] = (await theirs.rotation()).anchors;
  await ca.eventually("the new authority is in force", async () => (await ca.rotation()).anchors[0]?.sha256 === wanted?.sha256);
  const response = await ca.sign(request, channel);
  verifySvid(readCertificatesPem(Buffer.from(response.workloadCertificate)), readTrustAnchors(theirs.anchors()).anchors, Date.now());
  assert.match(await (await fetch(`http://127.0.0.1:${ca.metricsPort}`)).text(), /^dapr_sentry_issuercert_changed_total 2$/m);
});

test("an issuer near its end signs no certificate past it, and none after it", async () => {
  await using ca = await sentry({ flags: { "root-rotation": "off", "root-ttl": "4s" }, config });
  const certificateSigningRequest = Buffer.from(csrPem(createCsr({ key: await generateKey("ed25519") })));
  const request = { id: "app", namespace: "ns", certificateSigningRequest };
  const channel = ca.channel();
  const [issuer] = readCertificatesPem(Buffer.from((await ca.sign(request, channel)).workloadCertificate)).slice(1);
  const end = issuer?.notAfter ?? 0;
  let refusal: Error | null = null;
  while (refusal === null) {
    const response = await ca.sign(request, channel).catch((error: Error) => error);
    if (response instanceof Error) refusal = response;
    else assert.ok(Number(response.validUntil?.seconds) * 1000 <= end);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(Date.now() >= end);
  assert.match(refusal.message, /the issuer certificate has expired at .*; put a new one in its place/);
  assert.match(await (await fetch(`http://127.0.0.1:${ca.metricsPort}`)).text(), /failure_total\{reason="issuer_expired"\} 1/);
});
