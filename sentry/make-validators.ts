// The validators that the settings ask for, by the number that requests name them with.
import type { Clock } from "../lib/kit/clock.ts";
import type { Readiness } from "../lib/kit/readiness.ts";
import { SignCertificateRequest_TokenValidator as Kind } from "../lib/proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { parseConfiguration } from "../lib/resources/configuration-parser.ts";
import { plainValue } from "../lib/resources/yaml.ts";
import type { SpiffeId } from "../lib/security/spiffe.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { KubernetesApi } from "./kubernetes/api.ts";
import type { ValidatorSettings } from "./mtls-settings.ts";
import { createInsecureValidator } from "./validators/insecure.ts";
import { createJwksValidator } from "./validators/jwks.ts";
import { createKeySource } from "./validators/key-source.ts";
import { createKubernetesValidator } from "./validators/kubernetes.ts";
import type { Validator } from "./validators/validator.ts";

export interface ValidatorParts {
  readonly settings: ValidatorSettings;
  /** sentry's own. */
  readonly id: SpiffeId;
  /** Null outside of Kubernetes. */
  readonly api: KubernetesApi | null;
  readonly readiness: Readiness;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Validators {
  readonly byKind: ReadonlyMap<Kind, Validator>;
  readonly fallback: Kind | null;
  /** Background work that they need; ends when `signal` aborts. */
  start(signal: AbortSignal): void;
}

export function makeValidators({ settings, id, api, readiness, clock, log }: ValidatorParts): Validators {
  const byKind = new Map<Kind, Validator>();
  const starts: ((signal: AbortSignal) => Promise<void>)[] = [];
  if (settings.insecure) {
    log.info("Adding validator 'insecure'");
    byKind.set(Kind.INSECURE, createInsecureValidator());
  }
  if (settings.jwks !== null) {
    log.info(`Adding validator 'jwks' with Sentry ID: ${id.uri}`);
    const source = createKeySource(settings.jwks, clock, log.scope("dapr.sentry.identity.jwks"));
    const jwks = createJwksValidator(source, id.uri, clock, readiness.target("sentry-jwks-validator"));
    byKind.set(Kind.JWKS, jwks);
    starts.push((signal) => jwks.start(signal));
  }
  if (settings.kubernetes && api !== null) {
    log.info(`Adding validator 'kubernetes' with Sentry ID: ${id.uri}`);
    const identityLog = log.scope("dapr.sentry.identity.kubernetes");
    const controlPlane = { sentryId: id.uri, controlPlaneNamespace: id.namespace, controlPlaneTrustDomain: id.trustDomain };
    byKind.set(Kind.KUBERNETES, createKubernetesValidator({ api, ...controlPlane, trustDomainOf, log: identityLog }));
  }
  const fallback = settings.fallback === null ? null : settings.fallback === "kubernetes" ? Kind.KUBERNETES : Kind.INSECURE;
  return {
    byKind,
    fallback,
    start(signal) {
      // They end only by the signal.
      for (const start of starts) start(signal).catch(() => {});
    },
  };
}

function trustDomainOf(configuration: unknown): string {
  const { resource, problems } = parseConfiguration(plainValue(configuration), "configuration");
  if (resource === null) throw new Error(problems.map(({ cause }) => cause).join("; "));
  return resource.accessControl.trustDomain;
}
