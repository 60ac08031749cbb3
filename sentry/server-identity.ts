// sentry's own certificate, signed by its own issuer: renewed at half of its life and whenever the issuer changes, without
// closing a connection. The key is made once per process.
import type { Clock, Timer } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import type { SpiffeId } from "../lib/security/spiffe.ts";
import { HeldSvid, type SvidSource, svidOf } from "../lib/security/svid-source.ts";
import { generateKey, type KeyPair } from "../lib/security/x509/keys.ts";
import { readCertificatesPem } from "../lib/security/x509/read-certificate.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { SentryMetrics } from "../lib/telemetry/sentry-metrics.ts";
import type { Authority } from "./authority.ts";
import type { MtlsConfig } from "./mtls-settings.ts";
import { IssuerExpiredError, sign } from "./sign.ts";

export interface ServerIdentityOptions {
  readonly id: SpiffeId;
  readonly authority: Authority;
  readonly mtls: MtlsConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: SentryMetrics;
}

export interface ServerIdentity {
  readonly source: SvidSource;
  close(): void;
}

const renewMaxMs = 3_600_000;
const retryMs = 10_000;

/** Rejects when the first certificate cannot be signed. */
export async function createServerIdentity(options: ServerIdentityOptions): Promise<ServerIdentity> {
  const { authority, clock, log, metrics } = options;
  const key = await generateKey("ed25519");
  const held = new HeldSvid();
  let timer: Timer | null = null;
  const renew = (): void => {
    timer?.cancel();
    timer = clock.after(Math.min(set(held, key, options), renewMaxMs), renewOrReport);
  };
  const renewOrReport = (): void => {
    try {
      renew();
    } catch (error) {
      metrics.serverCertificateFailed(error instanceof IssuerExpiredError ? "issuer_expired" : "ca_error");
      log.error(`The certificate of sentry's own server cannot be renewed: ${messageOf(error)}`);
      timer = clock.after(retryMs, renewOrReport);
    }
  };
  renew();
  const unsubscribe = authority.onChange(renewOrReport);
  return {
    source: held,
    close() {
      unsubscribe();
      timer?.cancel();
    },
  };
}

/** Signs and sets a new certificate; answers after how many milliseconds to do it again. */
function set(held: HeldSvid, key: KeyPair, { id, authority, mtls, clock }: ServerIdentityOptions): number {
  const now = clock.now();
  const { leafTtlMs, clockSkewMs } = mtls;
  const { chainPem, notAfter } = sign(authority.signing.bundle, { publicKey: key.publicKey, id, dns: [], leafTtlMs, clockSkewMs, now });
  held.set(svidOf(readCertificatesPem(chainPem), key));
  return Math.max((notAfter - now) / 2, 1000);
}
