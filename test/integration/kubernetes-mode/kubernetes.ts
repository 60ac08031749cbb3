// A sidecar in Kubernetes mode without a cluster: a real sentry gives identities, and an operator in this process, with an
// identity of its own, tells the sidecar its resources over mutual TLS.
import { createSecurity, type Security } from "../../../lib/security/security.ts";
import { silentLogger } from "../../../lib/telemetry/log.ts";
import { TestOperator } from "../../../sidecar/loader/operator/test-operator.ts";
import { type Daprd, type DaprdOptions, daprd } from "../../harness/daprd.ts";
import { type Sentry, sentry } from "../../harness/sentry.ts";

export class ControlPlane implements AsyncDisposable {
  readonly sentry: Sentry;
  readonly operator: TestOperator;
  readonly #security: Security;

  private constructor(ca: Sentry, security: Security) {
    this.sentry = ca;
    this.#security = security;
    this.operator = new TestOperator(() => security.serverTls());
  }

  /** `identity` is the app id that the operator shows. */
  static async start(identity = "dapr-operator"): Promise<ControlPlane> {
    const ca = await sentry();
    const security = createSecurity({
      mtls: true,
      mode: "standalone",
      appId: identity,
      namespace: "default",
      sentryAddress: ca.address,
      controlPlaneTrustDomain: "localhost",
      controlPlaneNamespace: "default",
      trustAnchors: { pem: ca.anchors() },
      log: silentLogger,
    });
    const plane = new ControlPlane(ca, security);
    await security.start(AbortSignal.timeout(20_000));
    await plane.operator.start();
    return plane;
  }

  sidecar(options: DaprdOptions = {}): Promise<Daprd> {
    return daprd({
      ...options,
      flags: {
        mode: "kubernetes",
        "sentry-address": this.sentry.address,
        "control-plane-address": this.operator.address,
        "disable-builtin-k8s-secret-store": true,
        ...options.flags,
      },
      env: {
        DAPR_TRUST_ANCHORS: this.sentry.anchors(),
        NAMESPACE: "default",
        DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK: "true",
        ...options.env,
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.operator.stop();
    this.#security.stop();
    await this.sentry[Symbol.asyncDispose]();
  }
}

export function component(name: string, type: string, metadata: readonly object[] = [], more: object = {}) {
  return { apiVersion: "dapr.io/v1alpha1", kind: "Component", metadata: { name }, spec: { type, version: "v1", metadata }, ...more };
}

/** `name type` of what the metadata API shows. */
export async function components(sidecar: Daprd): Promise<readonly string[]> {
  const { components: list = [] } = (await (await sidecar.fetch("/v1.0/metadata")).json()) as {
    readonly components?: readonly { readonly name: string; readonly type: string }[];
  };
  return list.map(({ name, type }) => `${name} ${type}`);
}
