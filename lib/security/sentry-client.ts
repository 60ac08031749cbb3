// Asks sentry to sign: one connection per request, over TLS that accepts nobody but sentry's own id below our trust
// anchors and shows no certificate (the request is how we get one). What comes back is verified before it is used.
import { create } from "@bufbuild/protobuf";
import { type Clock, systemClock } from "../kit/clock.ts";
import { GrpcCode, messageOf } from "../kit/errors.ts";
import { CA, SignCertificateRequestSchema, type SignCertificateResponse } from "../proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import type { CertificateFailure } from "../telemetry/metrics.ts";
import { connectGrpc } from "../wire/grpc/client.ts";
import { GrpcStatusError } from "../wire/grpc/types.ts";
import { silentLog } from "../wire/log.ts";
import type { SecureConnect } from "../wire/secure.ts";
import { ClientTls } from "./client-tls.ts";
import { type IdentityToken, readIdentityToken, type TokenSource } from "./identity-token.ts";
import { type JwtSvid, readJwtSvid } from "./jwt-svid.ts";
import { type SpiffeId, spiffeId } from "./spiffe.ts";
import { verifySvid } from "./svid.ts";
import { type Svid, svidOf } from "./svid-source.ts";
import { readTrustAnchors, type TrustBundle } from "./trust-bundle.ts";
import { createCsr, csrPem } from "./x509/csr.ts";
import { generateKey, type KeyKind } from "./x509/keys.ts";
import { type Certificate, readCertificatesPem } from "./x509/read-certificate.ts";
import { X509Error } from "./x509/x509-error.ts";

export interface SentryClientOptions {
  /** `host:port`. */
  readonly address: string;
  readonly controlPlaneTrustDomain: string;
  readonly controlPlaneNamespace: string;
  readonly bundle: TrustBundle;
  /** App id, or what SENTRY_LOCAL_IDENTITY says instead. */
  readonly id: string;
  readonly namespace: string;
  readonly token: TokenSource;
  readonly jwtAudiences?: readonly string[];
  readonly keyKind?: KeyKind;
  readonly clock?: Clock;
  readonly timeoutMs?: number;
}

export interface Issued {
  readonly svid: Svid;
  /** What sentry says its trust anchors are now. */
  readonly announced: readonly Certificate[];
  readonly jwt: JwtSvid | null;
  readonly jwtByAudience: ReadonlyMap<string, JwtSvid>;
}

/** A request that brought no certificate; `reason` is for counting. */
export class RequestError extends Error {
  override readonly name: string = "RequestError";
  readonly reason: CertificateFailure;

  constructor(reason: CertificateFailure, message: string, cause: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** A failure that no repetition mends: sentry has said no, or the token cannot be had. */
export class RefusedError extends RequestError {
  override readonly name = "RefusedError";
}

const timeoutDefaultMs = 10_000;
const messageMaxBytes = 4 * 1024 * 1024;
/** Services of the control plane get their identity in its trust domain, all others where sentry puts them. */
const controlPlaneServices = new Set(["dapr-operator", "dapr-placement", "dapr-injector", "dapr-sentry", "dapr-scheduler"]);
const refusals = new Set<GrpcCode>([
  GrpcCode.INVALID_ARGUMENT,
  GrpcCode.NOT_FOUND,
  GrpcCode.PERMISSION_DENIED,
  GrpcCode.FAILED_PRECONDITION,
  GrpcCode.UNIMPLEMENTED,
  GrpcCode.UNAUTHENTICATED,
]);

export class SentryClient {
  readonly #options: SentryClientOptions;
  readonly #clock: Clock;
  readonly #address: { readonly host: string; readonly port: number };
  readonly #sentry: SpiffeId;

  /** Throws for an address or a control-plane name that cannot be. */
  constructor(options: SentryClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#address = parseHostPort(options.address);
    this.#sentry = spiffeId(options.controlPlaneTrustDomain, options.controlPlaneNamespace, "dapr-sentry");
  }

  /** A new key and its certificate. Rejects with RequestError, which is RefusedError when trying again is of no use. */
  async request(signal: AbortSignal): Promise<Issued> {
    try {
      return await this.#request(signal);
    } catch (error) {
      if (error instanceof RequestError) throw error;
      throw new RequestError(error instanceof X509Error ? "bad_certificate" : "other", messageOf(error), error);
    }
  }

  async #request(signal: AbortSignal): Promise<Issued> {
    const { keyKind = "ed25519", token } = this.#options;
    const [key, proof] = await Promise.all([generateKey(keyKind), readIdentityToken(token).catch(refuse)]);
    const csr = Buffer.from(csrPem(createCsr({ key })));
    const response = await this.#sign(csr, proof, signal);
    const svid = svidOf(readCertificatesPem(response.workloadCertificate), key);
    const announced = response.trustChainCertificates.flatMap((pem) => readTrustAnchors(pem).anchors);
    this.#verify(svid, announced);
    return { svid, announced, ...readJwts(response) };
  }

  async #sign(csr: Uint8Array, { token, validator }: IdentityToken, signal: AbortSignal): Promise<SignCertificateResponse> {
    const {
      bundle,
      id,
      namespace,
      controlPlaneNamespace,
      controlPlaneTrustDomain,
      jwtAudiences = [],
      timeoutMs = timeoutDefaultMs,
    } = this.#options;
    const tls = new ClientTls({ source: null, bundle });
    const watched = watchHandshake(tls.connector(this.#sentry));
    const channel = connectGrpc({
      target: { ...this.#address, tls: watched.connect },
      maxReceiveBytes: messageMaxBytes,
      maxSendBytes: messageMaxBytes,
      userAgent: "outrigger",
      log: silentLog,
      connectTimeoutMs: timeoutMs,
    });
    const ours = controlPlaneServices.has(id) && namespace === controlPlaneNamespace;
    const request = create(SignCertificateRequestSchema, {
      id,
      token,
      trustDomain: ours ? controlPlaneTrustDomain : "",
      namespace,
      certificateSigningRequest: csr,
      tokenValidator: validator,
      jwtAudiences: [...jwtAudiences],
    });
    try {
      return (await channel.unary(CA.method.signCertificate, request, { timeoutMs, signal })).message;
    } catch (error) {
      if (!(error instanceof GrpcStatusError)) throw error;
      if (refusals.has(error.code)) throw new RefusedError("refused", `error from sentry SignCertificate: ${error.message}`, error);
      throw new RequestError(watched.broke ? "handshake" : reasonOf(error.code), error.message, error);
    } finally {
      tls.close();
      void channel.close();
    }
  }

  /** A certificate that our peers would refuse must not replace one that works. Clocks may differ, so its first second will do. */
  #verify(svid: Svid, announced: readonly Certificate[]): void {
    const { id, namespace, bundle } = this.#options;
    if (svid.id.namespace !== namespace || svid.id.appId !== id) {
      throw new X509Error("spiffe_id", `sentry has certified ${svid.id.uri}, which is not namespace ${namespace} and id ${id}`);
    }
    verifySvid(svid.chain, [...bundle.anchors, ...announced], Math.max(this.#clock.now(), ...svid.chain.map(({ notBefore }) => notBefore)));
  }
}

function refuse(error: Error): never {
  throw new RefusedError("token", `error obtaining token: ${error.message}`, error);
}

function reasonOf(code: GrpcCode): CertificateFailure {
  if (code === GrpcCode.UNAVAILABLE) return "unreachable";
  return code === GrpcCode.DEADLINE_EXCEEDED ? "timeout" : "sentry_error";
}

/** `broke` is true when the last connection was made and then ended before its other end had proved who it is. */
function watchHandshake(connect: SecureConnect): { readonly connect: SecureConnect; readonly broke: boolean } {
  const seen = { connected: false, secured: false };
  return {
    connect(address) {
      Object.assign(seen, { connected: false, secured: false });
      return connect(address)
        .once("connect", () => {
          seen.connected = true;
        })
        .once("secureConnect", () => {
          seen.secured = true;
        });
    },
    get broke() {
      return seen.connected && !seen.secured;
    },
  };
}

function readJwts(response: SignCertificateResponse): Pick<Issued, "jwt" | "jwtByAudience"> {
  const jwtByAudience = new Map<string, JwtSvid>();
  for (const [audience, { value }] of Object.entries(response.perAudienceJwts)) {
    const jwt = readJwtSvid(value);
    if (jwt.audiences.length !== 1 || jwt.audiences[0] !== audience) {
      throw new RequestError("bad_certificate", "JWT audience mismatch", undefined);
    }
    jwtByAudience.set(audience, jwt);
  }
  return { jwt: response.jwt ? readJwtSvid(response.jwt) : null, jwtByAudience };
}

/** `host:port`, an IPv6 address in brackets. */
function parseHostPort(address: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(address) ?? [];
  const port = Number(digits);
  const host = bracketed ?? plain;
  if (host === undefined || !(port >= 1 && port <= 65_535))
    throw new Error(`sentry address ${JSON.stringify(address)} is not of the form host:port`);
  return { host, port };
}
