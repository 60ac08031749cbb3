// TLS of our servers: shows our SVID, demands one of the peer and says why it refuses. OpenSSL validates the peer's path
// against the live anchors in the handshake; what makes it an SVID is checked here right after, before a byte of it is
// looked at. Invariants: 1. a connection reaches `secured` only with a peer that passed every check; 2. a new SVID or
// new anchors count from the next handshake on, open connections stay; 3. tickets of an earlier state resume nothing
// (each state has its own ticket keys), and a resumed peer must still be within its validity.
import type { Server } from "node:net";
import { createServer, type TLSSocket, type TlsOptions, type Server as TlsServer } from "node:tls";
import { type Clock, systemClock } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";
import { handshakeErrorText, type SecureServer, setPeerIdentity } from "../wire/secure.ts";
import { commonOptions, credentials } from "./credentials.ts";
import type { SpiffeId } from "./spiffe.ts";
import { svidIdOf } from "./svid.ts";
import type { SvidSource } from "./svid-source.ts";
import type { TrustBundle } from "./trust-bundle.ts";
import { readCertificate } from "./x509/read-certificate.ts";
import { checkValidity } from "./x509/verify-chain.ts";
import { X509Error, type X509Reason } from "./x509/x509-error.ts";

export interface ServerTlsOptions {
  readonly source: SvidSource;
  readonly bundle: TrustBundle;
  readonly log: Logger;
  /** Which verified peers are let in; any by default, as in Dapr. Null: none is asked for a certificate, as sentry must. */
  readonly accept?: ((peer: SpiffeId) => boolean) | null;
  /** With `accept` null: only clients whose certificate leads to one of these CAs (PEM) are let in. */
  readonly clientCa?: string | null;
  /** Protocols offered, best first. Both by default, since Go's gRPC clients insist on h2. */
  readonly protocols?: readonly ("h2" | "http/1.1")[];
  readonly clock?: Clock;
  /** For a whole handshake, by the system's clock. */
  readonly handshakeTimeoutMs?: number;
  /** Counts refusals by reason. */
  readonly onRefused?: (reason: X509Reason | "unauthorized" | "handshake") => void;
}

const handshakeTimeoutDefaultMs = 10_000;
/** One line per reason in this time: a stranger must not be able to fill the log. */
const refusalLogIntervalMs = 60_000;

export class ServerTls implements SecureServer {
  readonly #options: ServerTlsOptions;
  readonly #clock: Clock;
  readonly #servers = new Set<TlsServer>();
  readonly #stop: readonly (() => void)[];
  readonly #loggedAt = new Map<string, number>();

  constructor(options: ServerTlsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#stop = [options.source.onChange(() => this.#renew()), options.bundle.onChange(() => this.#renew())];
  }

  /** Throws while there is no SVID: start the source first. */
  createServer(secured: (socket: TLSSocket) => void): Server {
    const server = createServer(this.#tlsOptions(), (socket) => this.#check(socket, secured));
    server.on("tlsClientError", (error, socket) => {
      // After a timeout Node leaves the connection open.
      socket.destroy();
      // Probes that only open the port leave like this; they are nobody's refusal.
      if ((error as NodeJS.ErrnoException).code === "ECONNRESET") return;
      this.#refused("handshake", peerText(socket), handshakeErrorText(error));
    });
    server.on("close", () => this.#servers.delete(server));
    this.#servers.add(server);
    return server;
  }

  /** Stops following changes. */
  close(): void {
    for (const stop of this.#stop) stop();
  }

  #tlsOptions(): TlsOptions {
    const { source, bundle, accept, clientCa = null, protocols = ["h2", "http/1.1"] } = this.#options;
    const requestCert = accept !== null;
    return {
      ...commonOptions,
      ...credentials(source.current, requestCert ? bundle : null),
      ALPNProtocols: [...protocols],
      // The verdict on a peer of the mesh is read after the handshake, so that the reason has a name.
      ...(clientCa === null ? { requestCert, rejectUnauthorized: false } : { requestCert: true, rejectUnauthorized: true, ca: clientCa }),
      handshakeTimeout: this.#options.handshakeTimeoutMs ?? handshakeTimeoutDefaultMs,
      sessionIdContext: "outrigger",
    };
  }

  #renew(): void {
    for (const server of this.#servers) server.setSecureContext(this.#tlsOptions());
  }

  #check(socket: TLSSocket, secured: (socket: TLSSocket) => void): void {
    const { accept } = this.#options;
    const peer = peerText(socket);
    try {
      if (accept !== null) this.#admit(socket, accept ?? any);
    } catch (error) {
      socket.on("error", ignore);
      socket.destroy();
      const reason = error instanceof X509Error ? error.reason : error instanceof UnauthorizedPeer ? "unauthorized" : "handshake";
      this.#refused(reason, peer, messageOf(error));
      return;
    }
    secured(socket);
  }

  #admit(socket: TLSSocket, accept: (peer: SpiffeId) => boolean): void {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) throw new X509Error("no_certificate", "the peer showed no certificate; connect with mutual TLS");
    if (!socket.authorized) throw pathError(String(socket.authorizationError));
    const leaf = readCertificate(certificate.raw);
    checkValidity(leaf, this.#clock.now());
    const id = svidIdOf(leaf);
    if (!accept(id)) throw new UnauthorizedPeer(`${id.uri} is not let in here`);
    setPeerIdentity(socket, id.uri);
  }

  #refused(reason: X509Reason | "unauthorized" | "handshake", peer: string, cause: string): void {
    this.#options.onRefused?.(reason);
    const now = this.#clock.monotonic();
    const last = this.#loggedAt.get(reason);
    if (last !== undefined && now - last < refusalLogIntervalMs) return;
    this.#loggedAt.set(reason, now);
    this.#options.log.warn(`Refused a TLS connection from ${peer} (${reason}): ${cause}`);
  }
}

function peerText({ remoteAddress, remotePort }: TLSSocket): string {
  return remoteAddress === undefined ? "a peer that has left" : `${remoteAddress}:${remotePort ?? 0}`;
}

class UnauthorizedPeer extends Error {}

/** OpenSSL's verdict in our words. */
export function pathError(code: string): X509Error {
  if (code === "CERT_HAS_EXPIRED") return new X509Error("expired", "the peer's certificate has expired");
  if (code === "CERT_NOT_YET_VALID") return new X509Error("not_yet_valid", "the peer's certificate is not yet valid; check the clocks");
  return new X509Error("untrusted", `the peer's certificate does not lead to a trust anchor (${code})`);
}

function any(): boolean {
  return true;
}

function ignore(): void {}
