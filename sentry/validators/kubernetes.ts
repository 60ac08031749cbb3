// The validator of Kubernetes: the API server reviews the token for sentry's audiences, the token names the pod it was made
// for, and that pod must stand in the namespace and under the service account of the token and carry the identity that is
// asked for. The trust domain is never the caller's choice: it comes from the pod's Configuration.
import { messageOf } from "../../lib/kit/errors.ts";
import { checkTrustDomain } from "../../lib/security/spiffe.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { claimsUnverified } from "../jwt/read-token.ts";
import type { KubernetesApi, Pod } from "../kubernetes/api.ts";
import { checkRequest, type IdentityRequest, publicTrustDomain, RefusedError, type Validator } from "./validator.ts";

export interface KubernetesValidatorOptions {
  readonly api: Pick<KubernetesApi, "reviewToken" | "pod" | "configuration">;
  readonly sentryId: string;
  readonly controlPlaneNamespace: string;
  readonly controlPlaneTrustDomain: string;
  /** Reads `accessControl.trustDomain` of a Configuration; empty: not given. Throws when it is malformed. */
  readonly trustDomainOf: (configuration: unknown) => string;
  readonly log: Logger;
}

/** Dapr before 1.13 asks for tokens of this audience. */
const legacyAudience = "dapr.io/sentry";
const controlPlaneAnnotation = "dapr.io/control-plane";
const appIdAnnotation = "dapr.io/app-id";
const configAnnotation = "dapr.io/config";
const controlPlaneServices = new Set(["operator", "placement", "injector", "sentry", "scheduler"]);

export function createKubernetesValidator(options: KubernetesValidatorOptions): Validator {
  return {
    async validate(request, signal) {
      checkRequest(request);
      const account = await reviewedAccount(request.token, options, signal);
      const bound = podClaim(request.token);
      const pod = await podOf(account.namespace, bound.name, options, signal);
      if (account.namespace !== request.namespace) {
        throw new RefusedError(`namespace mismatch; received namespace: ${request.namespace}`);
      }
      if (pod.serviceAccount !== account.name) throw new RefusedError("pod service account mismatch");
      // A token outlives its pod for a while; one of the same name is another pod.
      if (bound.uid !== "" && pod.uid !== "" && bound.uid !== pod.uid) throw new RefusedError("pod uid mismatch");
      return trustDomainOf(pod, request, options, signal);
    },
  };
}

interface Account {
  readonly namespace: string;
  readonly name: string;
}

async function reviewedAccount(token: string, { api, sentryId }: KubernetesValidatorOptions, signal: AbortSignal): Promise<Account> {
  const audiences = [legacyAudience, sentryId];
  const review = await api.reviewToken(token, audiences, signal).catch((error: unknown) => {
    throw new RefusedError(`token review failed: ${messageOf(error)}`);
  });
  if (review.error !== "") throw new RefusedError(`invalid token: ${review.error}`);
  if (!review.authenticated) throw new RefusedError("authentication failed");
  if (review.audiences !== null && !review.audiences.some((audience) => audiences.includes(audience))) {
    throw new RefusedError("invalid token: it is for another audience");
  }
  const [system, kind, namespace, name, ...more] = review.username.split(":");
  if (system !== "system" || kind !== "serviceaccount" || !namespace || !name || more.length > 0) {
    throw new RefusedError("provided token is not a properly structured service account token");
  }
  return { namespace, name };
}

/** The API server has verified the token, so its claims are as good as its answer. */
function podClaim(token: string): { readonly name: string; readonly uid: string } {
  let claims: Readonly<Record<string, unknown>>;
  try {
    claims = claimsUnverified(token);
  } catch (error) {
    throw new RefusedError(`failed to parse Kubernetes token: ${messageOf(error)}`);
  }
  const pod = field(field(claims, "kubernetes.io"), "pod");
  const name = field(pod, "name");
  const uid = field(pod, "uid");
  if (typeof name !== "string" || name === "") throw new RefusedError("kubernetes.io/pod/name claim is missing from Kubernetes token");
  return { name, uid: typeof uid === "string" ? uid : "" };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

async function podOf(namespace: string, name: string, { api, log }: KubernetesValidatorOptions, signal: AbortSignal): Promise<Pod> {
  try {
    const pod = await api.pod(namespace, name, signal);
    if (pod !== null) return pod;
    log.error(`Failed to get pod ${namespace}/${name} for requested identity: there is none`);
  } catch (error) {
    log.error(`Failed to get pod ${namespace}/${name} for requested identity: ${messageOf(error)}`);
  }
  throw new RefusedError("failed to get pod of identity");
}

async function trustDomainOf(
  pod: Pod,
  request: IdentityRequest,
  options: KubernetesValidatorOptions,
  signal: AbortSignal,
): Promise<string> {
  const service = pod.annotations.get(controlPlaneAnnotation);
  const appId = pod.annotations.get(appIdAnnotation);
  if (service !== undefined) checkControlPlane(pod, service, appId, options);
  const expected = service === undefined ? (appId ?? pod.name) : `dapr-${service}`;
  if (expected !== request.id) throw new RefusedError(`app-id mismatch. expected: ${expected}, received: ${request.id}`);
  if (service !== undefined) return options.controlPlaneTrustDomain;
  const configuration = pod.annotations.get(configAnnotation);
  return configuration === undefined ? publicTrustDomain : configuredTrustDomain(request.namespace, configuration, options, signal);
}

function checkControlPlane(pod: Pod, service: string, appId: string | undefined, options: KubernetesValidatorOptions): void {
  if (pod.namespace !== options.controlPlaneNamespace) {
    throw new RefusedError(`control plane service in namespace '${pod.namespace}' is not allowed`);
  }
  if (!controlPlaneServices.has(service)) throw new RefusedError(`unknown control plane service '${pod.name}'`);
  if (appId !== undefined) throw new RefusedError(`control plane service '${pod.name}' cannot have annotation '${appIdAnnotation}'`);
}

async function configuredTrustDomain(
  namespace: string,
  name: string,
  { api, log, trustDomainOf: read }: KubernetesValidatorOptions,
  signal: AbortSignal,
): Promise<string> {
  let trustDomain: string;
  try {
    const configuration = await api.configuration(namespace, name, signal);
    if (configuration === null) throw new Error("there is none");
    trustDomain = read(configuration) || publicTrustDomain;
  } catch (error) {
    log.error(`Failed to get configuration "${name}": ${messageOf(error)}`);
    throw new RefusedError("failed to get configuration");
  }
  try {
    checkTrustDomain(trustDomain);
    return trustDomain;
  } catch (error) {
    throw new RefusedError(`failed to parse trust domain ${JSON.stringify(trustDomain)}: ${messageOf(error)}`);
  }
}
