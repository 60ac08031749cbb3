// What tests of sentry share: an authority over files in memory whose every operation can be the last of its process.
import { FakeClock } from "../lib/kit/fake-clock.ts";
import { silentLogger } from "../lib/telemetry/log.ts";
import { createSentryMetrics } from "../lib/telemetry/sentry-metrics.ts";
import { Authority } from "./authority.ts";
import type { JwtConfig, RotationConfig } from "./config.ts";
import type { MtlsConfig } from "./mtls-settings.ts";
import { createDiskStore, credentialPaths, type Files } from "./store/disk.ts";
import { makeIssuer } from "./template.ts";

export const hourMs = 3_600_000;

export const mtls: MtlsConfig = {
  leafTtlMs: hourMs,
  clockSkewMs: 60_000,
  validators: { insecure: true, kubernetes: false, jwks: null, fallback: "insecure" },
};

export const rotation: RotationConfig = {
  policy: "auto",
  rootTtlMs: 24 * hourMs,
  beforeMs: 6 * hourMs,
  distributeMs: 0,
  retireMs: 0,
  overlapMs: 600_000,
};

export class PowerCut extends Error {}

/** Files that outlive their process. `writesLeft` changes are done, the one after that and everything later fails. */
export class MemoryFiles implements Files {
  readonly texts = new Map<string, string>();
  writesLeft = Number.POSITIVE_INFINITY;

  async read(path: string): Promise<string | null> {
    if (this.writesLeft < 0) throw new PowerCut("power cut");
    return this.texts.get(path) ?? null;
  }

  async replace(path: string, text: string): Promise<void> {
    this.#spend();
    this.texts.set(path, text);
  }

  async remove(path: string): Promise<void> {
    this.#spend();
    this.texts.delete(path);
  }

  #spend(): void {
    if (this.writesLeft-- <= 0) throw new PowerCut("power cut");
  }
}

export const paths = credentialPaths("/ca", {
  anchors: "ca.crt",
  issuerChain: "issuer.crt",
  issuerKey: "issuer.key",
  jwtKey: "jwt.key",
  jwks: "jwks.json",
  rotation: "rotation.json",
});

export interface TestAuthorityOptions {
  readonly files?: Files;
  readonly clock?: FakeClock;
  readonly mtls?: MtlsConfig;
  readonly rotation?: RotationConfig;
  readonly jwt?: JwtConfig | null;
  readonly trustDomain?: string;
}

/** Not loaded yet. */
export function testAuthority(options: TestAuthorityOptions = {}): Authority {
  const { files = new MemoryFiles(), clock = new FakeClock(), jwt = null, trustDomain = "example.org" } = options;
  const settings = options.mtls ?? mtls;
  const turns = options.rotation ?? rotation;
  return new Authority({
    store: createDiskStore("/ca", paths, files),
    mtls: settings,
    jwt,
    rotation: turns,
    make: (now) => makeIssuer({ trustDomain, namespace: "default", ttlMs: turns.rootTtlMs, clockSkewMs: settings.clockSkewMs }, now),
    clock,
    log: silentLogger,
    metrics: createSentryMetrics(),
  });
}
