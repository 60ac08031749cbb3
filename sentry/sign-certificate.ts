// The call that sentry exists for, dapr.proto.sentry.v1.CA/SignCertificate: a validator says who is asking, verify.ts
// whether the request may be signed, sign.ts signs. Codes and words are those of Dapr's sentry; every refusal has a reason
// that is counted, and an identity goes only to whom a validator has confirmed it for.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Clock } from "../lib/kit/clock.ts";
import { GrpcCode, messageOf } from "../lib/kit/errors.ts";
import {
  CA,
  SignCertificateRequest_TokenValidator as Kind,
  type SignCertificateRequest,
  type SignCertificateResponse,
  SignCertificateResponseSchema,
} from "../lib/proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { type SpiffeId, spiffeId } from "../lib/security/spiffe.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { SentryMetrics } from "../lib/telemetry/sentry-metrics.ts";
import { type GrpcMethod, GrpcStatusError, unary } from "../lib/wire/grpc/types.ts";
import type { Authority } from "./authority.ts";
import type { Signing } from "./credentials.ts";
import type { MtlsConfig } from "./mtls-settings.ts";
import { IssuerExpiredError, sign } from "./sign.ts";
import { controlPlaneNames } from "./template.ts";
import { RefusedError, type Validator } from "./validators/validator.ts";
import { CsrError, verifyRequest } from "./verify.ts";

export interface SignCertificateOptions {
  readonly authority: Pick<Authority, "signing">;
  readonly validators: ReadonlyMap<Kind, Validator>;
  /** Null: a request must name one. */
  readonly fallback: Kind | null;
  readonly mtls: MtlsConfig;
  /** sentry's own. */
  readonly id: SpiffeId;
  readonly clusterDomain: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: SentryMetrics;
}

const audiencesMax = 64;
const audienceMaxChars = 2048;

/** A refusal with its reason for the metrics. */
class Refusal extends GrpcStatusError {
  readonly reason: string;

  constructor(code: GrpcCode, reason: string, message: string) {
    super(code, message);
    this.reason = reason;
  }
}

export function createSignCertificate(options: SignCertificateOptions): GrpcMethod {
  const { metrics, log } = options;
  return unary(CA.method.signCertificate, null, async (request, call) => {
    metrics.requestReceived();
    try {
      const response = await signCertificate(options, request, call.signal);
      metrics.signed();
      return response;
    } catch (error) {
      metrics.refused(error instanceof Refusal || error instanceof CsrError ? error.reason : "sign");
      log.debug(`Refused a request for ${JSON.stringify(`${request.namespace}/${request.id}`.slice(0, 256))}: ${messageOf(error)}`);
      if (error instanceof GrpcStatusError) throw error;
      log.error(`Error signing identity: ${messageOf(error)}`);
      throw new GrpcStatusError(GrpcCode.INTERNAL, "failed to sign certificate");
    }
  });
}

async function signCertificate(
  options: SignCertificateOptions,
  request: SignCertificateRequest,
  signal: AbortSignal,
): Promise<SignCertificateResponse> {
  const { authority, clock } = options;
  const id = await identityOf(options, request, signal);
  const { publicKey, ignored } = verifyRequest(request.certificateSigningRequest);
  if (ignored > 0) options.log.debug(`The request of ${id.uri} asks for ${ignored} names, extensions or attributes of its own: ignored`);
  const audiences = audiencesOf(request, id);
  const { leafTtlMs, clockSkewMs } = options.mtls;
  const dns = controlPlaneNames(id.appId, id.namespace, options.id.namespace, options.clusterDomain);
  const signing = authority.signing;
  const now = clock.now();
  try {
    const leaf = sign(signing.bundle, { publicKey, id, dns, leafTtlMs, clockSkewMs, now });
    return create(SignCertificateResponseSchema, {
      workloadCertificate: Buffer.from(leaf.chainPem),
      trustChainCertificates: [Buffer.from(signing.bundle.anchorsPem)],
      validUntil: timestampFromMs(leaf.notAfter),
      ...tokensFor(signing, id, audiences, now),
    });
  } catch (error) {
    if (!(error instanceof IssuerExpiredError)) throw error;
    options.log.error(`Error signing identity: ${error.message}`);
    throw new Refusal(GrpcCode.UNAVAILABLE, "issuer_expired", `failed to sign certificate: ${error.message}`);
  }
}

async function identityOf(options: SignCertificateOptions, request: SignCertificateRequest, signal: AbortSignal): Promise<SpiffeId> {
  const { id, namespace, trustDomain, token } = request;
  const csrBytes = request.certificateSigningRequest.length;
  const validator = validatorFor(options, request.tokenValidator);
  try {
    const domain = await validator.validate({ id, namespace, trustDomain, token, csrBytes }, signal);
    const identity = spiffeId(domain, namespace, id);
    if (identity.uri === options.id.uri) throw new RefusedError(`${identity.uri} is sentry's own identity; give the app another id`);
    return identity;
  } catch (error) {
    if (error instanceof RefusedError) throw new Refusal(GrpcCode.PERMISSION_DENIED, "denied", error.message);
    throw error;
  }
}

function validatorFor({ validators, fallback }: SignCertificateOptions, asked: Kind): Validator {
  const kind = asked === Kind.UNKNOWN ? fallback : asked;
  if (kind === null) {
    throw new Refusal(GrpcCode.INVALID_ARGUMENT, "validator", "a validator name must be specified in this environment");
  }
  const validator = validators.get(kind);
  if (validator === undefined) throw new Refusal(GrpcCode.INVALID_ARGUMENT, "validator", "the requested validator is not enabled");
  return validator;
}

/** The trust domain is always among them. */
function audiencesOf({ jwtAudiences }: SignCertificateRequest, id: SpiffeId): readonly string[] {
  if (jwtAudiences.length > audiencesMax || jwtAudiences.some((audience) => audience.length > audienceMaxChars)) {
    const message = `at most ${audiencesMax} JWT audiences of ${audienceMaxChars} characters each are accepted`;
    throw new Refusal(GrpcCode.INVALID_ARGUMENT, "audiences", message);
  }
  return [...new Set([id.trustDomain, ...jwtAudiences])];
}

function tokensFor({ tokens }: Signing, id: SpiffeId, audiences: readonly string[], now: number) {
  if (tokens === null) return {};
  const issue = (of: readonly string[]): string => tokens.issue({ subject: id.uri, audiences: of, now });
  const each = audiences.map((audience) => [audience, { value: issue([audience]) }] as const);
  return { jwt: issue(audiences), perAudienceJwts: Object.fromEntries(each) };
}
