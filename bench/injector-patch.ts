// The work `injector-patch`: admission reviews of an ordinary pod at 200 a second over TLS, as the API server sends them (few
// connections, kept open), after a warm-up. Budget: p99 of at most 5 ms. The injector has a sentry of the bench for its
// identity and an API server in memory.

import { writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { freePorts } from "../cli/process/ports.ts";
import { FakeKubeApi } from "../lib/kube/fake-api.ts";
import { kubeResources } from "../lib/kube/resource.ts";
import type { Cell, Durations } from "./cells.ts";
import { openLoop, type Send } from "./load/open-loop.ts";
import { Ticker } from "./load/ticker.ts";
import { percentile } from "./stats.ts";
import type { Authority, Workshop } from "./subjects.ts";
import { cpuMicros, residentMb } from "./usage.ts";
import { injectorPatch } from "./works.ts";

const connections = 4;
const readyWithinMs = 30_000;
const retryMs = 20;
/** Of the bench's sentry. */
const namespace = "default";

interface Running {
  readonly pid: number;
  readonly send: Send;
}

/** Started once, in `prepare`; it ends with the workshop. `authority` must be a sentry of the namespace `default`. */
export function injectorPatchCell(name: string, binary: string, workshop: Workshop, authority: Authority, durations: Durations): Cell {
  let running: Running | null = null;
  return {
    work: injectorPatch.name,
    subject: name,
    async prepare() {
      running = await startInjector(name, binary, workshop, authority);
      await load(running.send, durations.warm * 2);
    },
    async run() {
      const { pid, send } = running as Running;
      const before = cpuMicros([pid]);
      const latencies = await load(send, durations.open);
      const used = cpuMicros([pid]) - before;
      return {
        rps: null,
        p50Ms: percentile(latencies, 0.5),
        p99Ms: percentile(latencies, 0.99),
        cpuMicros: used / latencies.length,
        residentMb: residentMb([pid]),
      };
    },
  };
}

async function load(send: Send, seconds: number): Promise<number[]> {
  using ticker = new Ticker();
  // Awaited here, since the ticker ends with this scope.
  return await openLoop(send, injectorPatch.rate, seconds, ticker);
}

async function startInjector(name: string, binary: string, workshop: Workshop, authority: Authority): Promise<Running> {
  const api = await FakeKubeApi.start();
  workshop.defer(() => api[Symbol.asyncDispose]());
  api.put(kubeResources.mutatingWebhooks, { metadata: { name: "dapr-sidecar-injector" }, webhooks: [{ name: "a", clientConfig: {} }] });
  const anchors = join(workshop.folder, `injector-${name}-ca.crt`);
  writeFileSync(anchors, authority.anchorsPem);
  const kubeconfig = join(workshop.folder, `injector-${name}-kubeconfig.json`);
  writeFileSync(kubeconfig, JSON.stringify(kubeconfigOf(api.server)));
  const [port, health, metrics] = (await freePorts(3)) as [number, number, number];
  const local = ["--listen-address", "--healthz-listen-address", "--metrics-listen-address"].flatMap((flag) => [flag, "127.0.0.1"]);
  const ports = ["--port", String(port), "--healthz-port", String(health), "--metrics-port", String(metrics)];
  const env = {
    NAMESPACE: namespace,
    SIDECAR_IMAGE: "docker.io/local/outrigger:1",
    KUBE_CLUSTER_DOMAIN: "cluster.local",
    DAPR_TRUST_ANCHORS_FILE: anchors,
    DAPR_CONTROL_PLANE_TRUST_DOMAIN: "localhost",
    DAPR_SENTRY_ADDRESS: `127.0.0.1:${authority.subject.grpcPort}`,
  };
  const { child, log } = await workshop.start("far", binary, [...ports, ...local, "--kubeconfig", kubeconfig], env);
  await untilHealthy(`http://127.0.0.1:${health}/healthz`, log);
  return { pid: child.pid, send: sender(port, authority.anchorsPem) };
}

async function untilHealthy(url: string, log: readonly string[]): Promise<void> {
  const until = performance.now() + readyWithinMs;
  for (;;) {
    const response = await fetch(url, { headers: { connection: "close" } }).catch(() => null);
    await response?.arrayBuffer().catch(() => null);
    if (response?.status === 200) return;
    if (performance.now() > until) throw new Error(`${url} did not answer 200 within ${readyWithinMs} ms:\n${log.join("\n")}`);
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/** Rejects for an answer without a patch. */
function sender(port: number, ca: string): Send {
  const agent = new Agent({ keepAlive: true, maxSockets: connections, ca, servername: `dapr-sidecar-injector.${namespace}.svc` });
  const body = Buffer.from(JSON.stringify(review()));
  const headers = { "content-type": "application/json", "content-length": body.length };
  return () =>
    new Promise((resolve, reject) => {
      const sent = request({ host: "127.0.0.1", port, path: "/mutate", method: "POST", agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          if (Buffer.concat(chunks).includes('"patchType":"JSONPatch"')) resolve();
          else reject(new Error(`no patch: ${Buffer.concat(chunks).toString("utf8").slice(0, 500)}`));
        });
      });
      sent.on("error", reject);
      sent.end(body);
    });
}

/** What a Deployment's pod looks like at admission: managed fields, defaults and all. */
function review(): unknown {
  const annotations = { "dapr.io/enabled": "true", "dapr.io/app-id": "orders", "dapr.io/app-port": "3000", "dapr.io/config": "tracing" };
  const env = Array.from({ length: 12 }, (_, i) => ({ name: `VARIABLE_${i}`, value: "x".repeat(40) }));
  const volumeMounts = [{ name: "kube-api-access", readOnly: true, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }];
  const container = {
    name: "app",
    image: "registry.example/orders:1.2.3",
    env,
    ports: [{ containerPort: 3000 }],
    volumeMounts,
    resources: {},
  };
  const sources = [{ serviceAccountToken: { expirationSeconds: 3607, path: "token" } }];
  const object = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { generateName: "orders-5d4f8c7b9d-", labels: { app: "orders", "pod-template-hash": "5d4f8c7b9d" }, annotations },
    spec: {
      containers: [container],
      volumes: [{ name: "kube-api-access", projected: { sources, defaultMode: 420 } }],
      restartPolicy: "Always",
    },
  };
  const userInfo = { username: "system:serviceaccount:kube-system:replicaset-controller", groups: ["system:serviceaccounts"] };
  const kind = { group: "", version: "v1", kind: "Pod" };
  const asked = { uid: "0", kind, namespace: "shop", operation: "CREATE", userInfo, object };
  return { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: asked };
}

function kubeconfigOf(server: string): unknown {
  return {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "bench",
    clusters: [{ name: "bench", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "bench", user: {} }],
    contexts: [{ name: "bench", context: { cluster: "bench", user: "bench" } }],
  };
}
