// TLS of our clients: verifies the server's path by OpenSSL against the live anchors and its SPIFFE id here, shows our
// SVID unless asked not to. Contexts and resumable sessions belong to one state of SVID and anchors and die with it;
// a session is offered only where the same id is expected again, and only while the server's certificate is valid.
import { connect, createSecureContext, type PeerCertificate, type SecureContext } from "node:tls";
import { type Clock, systemClock } from "../kit/clock.ts";
import type { SecureConnect } from "../wire/secure.ts";
import { caOf, commonOptions, credentials } from "./credentials.ts";
import type { SpiffeId } from "./spiffe.ts";
import { svidIdOf } from "./svid.ts";
import type { SvidSource } from "./svid-source.ts";
import type { TrustBundle } from "./trust-bundle.ts";
import { readCertificate } from "./x509/read-certificate.ts";
import { X509Error } from "./x509/x509-error.ts";

export interface ClientTlsOptions {
  /** Null: no certificate is shown. */
  readonly source: SvidSource | null;
  readonly bundle: TrustBundle;
  readonly clock?: Clock;
}

/** Which server we want: one id, or any trust domain's `/ns/<namespace>/<app id>` where the trust domain is not known. */
export type ExpectedPeer = SpiffeId | Pick<SpiffeId, "namespace" | "appId">;

interface Session {
  readonly ticket: Buffer;
  /** When the server's certificate expires. */
  readonly notAfter: number;
}

const sessionsMax = 256;

export class ClientTls {
  readonly #options: ClientTlsOptions;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Session>();
  readonly #stop: readonly (() => void)[];
  #context: SecureContext | null = null;

  constructor(options: ClientTlsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const renew = () => this.#renew();
    this.#stop = [options.bundle.onChange(renew), options.source?.onChange(renew) ?? renew];
  }

  /** How to connect to `expected`; for a channel's target, or for any socket that speaks `protocols`. */
  connector(expected: ExpectedPeer, protocols: readonly string[] = ["h2"]): SecureConnect {
    const wanted = describe(expected);
    return ({ host, port }) => {
      const secureContext = this.#secureContext();
      const key = `${wanted} ${host}:${port} ${protocols.join()}`;
      const notAfter = { of: 0 };
      const session = this.#session(key);
      const socket = connect({
        host,
        port,
        secureContext,
        ALPNProtocols: [...protocols],
        rejectUnauthorized: true,
        checkServerIdentity: (_host, certificate) => checkPeer(certificate, expected, wanted, notAfter),
        ...(session === null ? {} : { session: session.ticket }),
      });
      if (session !== null) notAfter.of = session.notAfter;
      socket.on("session", (ticket: Buffer) => this.#keep(key, { ticket, notAfter: notAfter.of }, secureContext));
      return socket;
    };
  }

  /** Stops following changes. */
  close(): void {
    for (const stop of this.#stop) stop();
  }

  #renew(): void {
    this.#context = null;
    this.#sessions.clear();
  }

  #secureContext(): SecureContext {
    const { source, bundle } = this.#options;
    this.#context ??= createSecureContext({ ...commonOptions, ...(source === null ? caOf(bundle) : credentials(source.current, bundle)) });
    return this.#context;
  }

  #session(key: string): Session | null {
    const session = this.#sessions.get(key);
    // Used again until the server sends another, which Node's does not do on resumption: that the connections of two
    // sidecars can be linked (RFC 8446, appendix C.4) tells an observer nothing that the addresses do not.
    return session !== undefined && session.notAfter > this.#clock.now() ? session : null;
  }

  #keep(key: string, session: Session, context: SecureContext): void {
    if (context !== this.#context) return;
    if (this.#sessions.size >= sessionsMax) this.#sessions.delete(this.#sessions.keys().next().value as string);
    this.#sessions.set(key, session);
  }
}

/** Called when the path is good and the session is new; a resumed one was checked when it was new. */
function checkPeer(certificate: PeerCertificate, expected: ExpectedPeer, wanted: string, notAfter: { of: number }): Error | undefined {
  try {
    const leaf = readCertificate(certificate.raw);
    const id = svidIdOf(leaf);
    if (!matches(id, expected)) throw new X509Error("spiffe_id", `the server is ${id.uri}, not ${wanted}`);
    notAfter.of = leaf.notAfter;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function matches(id: SpiffeId, expected: ExpectedPeer): boolean {
  if ("uri" in expected) return id.uri === expected.uri;
  return id.namespace === expected.namespace && id.appId === expected.appId;
}

function describe(expected: ExpectedPeer): string {
  return "uri" in expected ? expected.uri : `spiffe://<any trust domain>/ns/${expected.namespace}/${expected.appId}`;
}
