// Kubernetes objects of the suites. Apps pass the restricted Pod Security level, as their sidecars must.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "../lib/kube/object.ts";
import type { Images } from "./images.ts";

const script = join(import.meta.dirname, "demo-app.js");

const restricted: Json = {
  runAsNonRoot: true,
  runAsUser: 65_532,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
};

export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): Json {
  const level = { "pod-security.kubernetes.io/enforce": "restricted" };
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { ...level, ...labels } } };
}

export function demoScript(space: string): Json {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "demo-app", namespace: space },
    data: { "app.js": readFileSync(script, "utf8") },
  };
}

export interface AppOptions {
  readonly name: string;
  readonly namespace: string;
  /** Without the prefix `dapr.io/`; null: no sidecar. */
  readonly annotations: Readonly<Record<string, string>> | null;
  readonly env?: Readonly<Record<string, string>>;
  /** Dapr's sidecar has its Kubernetes secret store and ends without the pod's token. */
  readonly token?: boolean;
}

function podTemplate({ name, annotations, env = {}, token = false }: AppOptions, { outrigger, node }: Images): Json {
  const prefixed = Object.entries(annotations ?? {}).map(([key, value]) => [`dapr.io/${key}`, value]);
  return {
    metadata: { labels: { app: name }, annotations: Object.fromEntries(prefixed) },
    spec: {
      automountServiceAccountToken: token,
      terminationGracePeriodSeconds: 5,
      containers: [
        {
          name: "app",
          image: outrigger,
          imagePullPolicy: "IfNotPresent",
          command: [...node, "/app/app.js"],
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
          ports: [{ containerPort: 3000 }],
          securityContext: restricted,
          volumeMounts: [{ name: "app", mountPath: "/app" }],
        },
      ],
      volumes: [{ name: "app", configMap: { name: "demo-app" } }],
    },
  };
}

/** A Deployment and its Service. */
export function app(options: AppOptions, images: Images): readonly Json[] {
  const { name, namespace: space } = options;
  const selector = { app: name };
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: space },
      spec: { replicas: 1, selector: { matchLabels: selector }, template: podTemplate(options, images) },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: space },
      spec: { selector, ports: [{ port: 80, targetPort: 3000 }] },
    },
  ];
}

/** Ends well when it has invoked `calls`. */
export function job(options: AppOptions, calls: string, images: Images): Json {
  const { metadata, spec } = podTemplate({ ...options, env: { JOB_CALLS: calls } }, images) as { metadata: Json; spec: Json };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: options.name, namespace: options.namespace },
    spec: { backoffLimit: 0, template: { metadata, spec: { ...spec, restartPolicy: "Never" } } },
  };
}

export interface RedisOptions {
  readonly namespace: string;
  readonly password: string;
  readonly service: string;
  readonly secret: { readonly name: string; readonly key: string };
}

export function redis({ namespace: space, password, service, secret }: RedisOptions, { redis: image }: Images): readonly Json[] {
  const container = {
    name: "redis",
    image,
    imagePullPolicy: "IfNotPresent",
    args: ["--save", "", "--protected-mode", "no", "--requirepass", password],
    ports: [{ containerPort: 6379 }],
    readinessProbe: { tcpSocket: { port: 6379 }, periodSeconds: 1 },
    securityContext: restricted,
  };
  const labels = { app: "redis" };
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "redis", namespace: space },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers: [container] } },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: service, namespace: space },
      spec: { selector: labels, ports: [{ port: 6379 }] },
    },
    { apiVersion: "v1", kind: "Secret", metadata: { name: secret.name, namespace: space }, stringData: { [secret.key]: password } },
  ];
}

/** Of Redis, its password from the Secret. */
export function component(space: string, name: string, type: string): Json {
  return {
    apiVersion: "dapr.io/v1alpha1",
    kind: "Component",
    metadata: { name, namespace: space },
    spec: {
      type,
      version: "v1",
      metadata: [
        { name: "redisHost", value: `redis.${space}.svc.cluster.local:6379` },
        { name: "redisPassword", secretKeyRef: { name: "redis", key: "password" } },
      ],
    },
    auth: { secretStore: "kubernetes" },
  };
}

/** Lets one app of the namespace in, and nobody else. */
export function onlyFrom(space: string, name: string, caller: string): Json {
  const policies = [{ appId: caller, defaultAction: "allow", trustDomain: "public", namespace: space }];
  return {
    apiVersion: "dapr.io/v1alpha1",
    kind: "Configuration",
    metadata: { name, namespace: space },
    spec: { accessControl: { defaultAction: "deny", trustDomain: "public", policies } },
  };
}
