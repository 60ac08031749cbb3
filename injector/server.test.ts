import assert from "node:assert/strict";
import { type AddressInfo, connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { createInjectorMetrics } from "../lib/telemetry/injector-metrics.ts";
import { silentLogger } from "../lib/telemetry/log.ts";
import { createAdmission } from "./admission.ts";
import { createAdvice } from "./advise.ts";
import { accountMatcher } from "./authorize.ts";
import type { ClusterView, NamespaceView } from "./ports.ts";
import { createInjectorServer } from "./server.ts";
import { settings, testPod } from "./test-inputs.ts";

const namespaces = new Map<string, NamespaceView>([
  ["labelled", { labels: { "dapr.io/inject": "enabled" }, annotations: { "dapr.io/log-level": "debug" } }],
  ["closed", { labels: { "dapr.io/inject": "disabled" }, annotations: {} }],
]);
const lines: string[] = [];
const log = { ...silentLogger, info: (line: string) => void lines.push(line), error: (line: string) => void lines.push(line) };
const logger = { ...log, scope: () => ({ ...log, scope: () => logger }) } as typeof silentLogger;
const metrics = createInjectorMetrics();
const cluster: ClusterView = {
  mtls: true,
  nativeSidecars: false,
  namespace: (name) => namespaces.get(name) ?? null,
  async components(namespace) {
    if (namespace === "broken") throw new Error("403");
    const container = JSON.stringify({ image: "store:1" });
    return [{ name: "mystore", annotations: { "dapr.io/component-container": container }, scopes: ["orders"] }];
  },
};
const admit = createAdmission({
  ...{ settings, cluster, metrics, log: logger, policy: "service-accounts", accounts: accountMatcher([]) },
  trustAnchors: () => "ANCHORS",
});
const advise = createAdvice({ settings, cluster, log: logger, trustAnchors: () => "ANCHORS" });
const server = createInjectorServer({ admit, advise, metrics, log: logger });
let url = "";
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());

const on = { "dapr.io/enabled": "true", "dapr.io/app-id": "orders" };
const masters = { username: "admin", groups: ["system:masters"] };
function review(object: unknown, request: Record<string, unknown> = {}, apiVersion = "admission.k8s.io/v1"): unknown {
  const kind = { group: "", version: "v1", kind: "Pod" };
  return {
    apiVersion,
    kind: "AdmissionReview",
    request: { uid: "u1", kind, namespace: "shop", operation: "CREATE", userInfo: masters, object, ...request },
  };
}
const post = (
  body: string | Uint8Array<ArrayBuffer>,
  path = "/mutate",
  headers: Record<string, string> = { "content-type": "application/json" },
) => fetch(`${url}${path}`, { method: "POST", body, headers });
// biome-ignore lint/suspicious/noExplicitAny: the tests look into JSON
async function verdict(body: unknown, path = "/mutate"): Promise<any> {
  const response = await post(JSON.stringify(body), path);
  assert.equal(response.status, 200);
  return response.json();
}
const patchOf = (answer: { response: { patch: string } }) => JSON.parse(Buffer.from(answer.response.patch, "base64").toString());

describe("HTTP", () => {
  test("an empty body is 400, another type 415, another path 404, another method 404", async () => {
    assert.equal((await post("")).status, 400);
    assert.equal((await post("{}", "/mutate", { "content-type": "text/plain" })).status, 415);
    assert.equal((await post("{}", "/mutate", {})).status, 415);
    assert.equal((await post("{}", "/other")).status, 404);
    assert.equal((await fetch(`${url}/mutate`)).status, 404);
    assert.equal(
      (await post(JSON.stringify(review(testPod(on))), "/mutate", { "content-type": "application/json; charset=utf-8" })).status,
      200,
    );
  });

  test("a body that is too large is 413, and nothing is held of it", async () => {
    assert.equal((await post(new Uint8Array(9 * 1024 * 1024))).status, 413);
  });

  test("a compressed body is refused rather than blown up", async () => {
    assert.equal((await post("x", "/mutate", { "content-type": "application/json", "content-encoding": "gzip" })).status, 415);
  });

  for (const body of [
    "{",
    "null",
    "[]",
    "{}",
    '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}',
    '{"kind":"X","apiVersion":"admission.k8s.io/v1","request":{"uid":"1"}}',
  ]) {
    test(`no review: ${body}`, async () => {
      const answer = JSON.parse(await (await post(body)).text());
      assert.deepEqual([answer.response.allowed, answer.kind, typeof answer.response.status.message], [false, "AdmissionReview", "string"]);
    });
  }

  test("a client that leaves in mid-body harms nobody", async () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write("POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{");
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.destroy();
    assert.equal((await verdict(review(testPod(on)))).response.allowed, true);
  });
});

describe("verdicts", () => {
  test("a pod that asks gets a patch, under the request's uid and version", async () => {
    for (const version of ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]) {
      const answer = await verdict(review(testPod(on), {}, version));
      assert.deepEqual(
        [answer.apiVersion, answer.response.uid, answer.response.allowed, answer.response.patchType],
        [version, "u1", true, "JSONPatch"],
      );
      assert.ok(patchOf(answer).some(({ value }: { value: { name?: string } }) => value.name === "daprd"));
    }
  });

  test("a pod without Dapr is let through, whoever makes it, without trace", async () => {
    const before = lines.length;
    for (const annotations of [null, {}, { "dapr.io/enabled": "false" }, { "dapr.io/app-id": "x" }]) {
      const answer = await verdict(review(testPod(annotations), { userInfo: { username: "anyone" } }));
      assert.deepEqual(answer.response, { uid: "u1", allowed: true });
    }
    assert.equal(lines.length, before);
  });

  test("an account that is not allowed gets no sidecar, but a warning", async () => {
    const answer = await verdict(review(testPod(on), { userInfo: { username: "system:serviceaccount:a:b" } }));
    assert.deepEqual([answer.response.allowed, answer.response.patch], [true, undefined]);
    assert.match(answer.response.warnings[0], /no Dapr sidecar is injected into shop\/orders: service account/);
  });

  test("bad annotations refuse the pod with field, cause and remedy; odd ones warn", async () => {
    const refused = await verdict(review(testPod({ ...on, "dapr.io/log-level": "loud" })));
    assert.equal(refused.response.allowed, false);
    assert.match(
      refused.response.status.message,
      /metadata.annotations\[dapr.io\/log-level\]: "loud" is not a known value; write one of debug, info/,
    );
    const warned = await verdict(review(testPod({ ...on, "dapr.io/app-prot": "1", "dapr.io/metrics-port": "x" })));
    assert.deepEqual([warned.response.warnings.length, warned.response.allowed, warned.response.patchType], [2, true, "JSONPatch"]);
  });

  test("warnings are few and short enough for the API server", async () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`dapr.io/${"x".repeat(40)}${i}`, "y".repeat(500)]));
    const { warnings } = (await verdict(review(testPod({ ...on, ...many })))).response;
    assert.equal(warnings.length, 17);
    assert.ok(warnings.every((text: string) => text.length <= 256));
  });

  test("what is no pod, no creation, or a part of a pod is let through", async () => {
    const others = [
      { kind: { kind: "Deployment" } },
      { operation: "UPDATE" },
      { operation: "DELETE" },
      { subResource: "ephemeralcontainers" },
    ];
    for (const request of others) assert.deepEqual((await verdict(review(testPod(on), request))).response, { uid: "u1", allowed: true });
  });

  test("a pod that cannot be read is refused", async () => {
    const { response } = await verdict(review({ spec: { containers: 1 }, metadata: { annotations: on } }));
    assert.deepEqual(
      [response.allowed, response.status.message],
      [false, "dapr.io: could not read the pod: spec.containers is not a list"],
    );
  });

  test("a pod that cannot be read and is none of ours is let through", async () => {
    for (const object of [{ spec: { containers: 1 } }, null, 1, { metadata: { annotations: 1 } }]) {
      assert.deepEqual((await verdict(review(object))).response, { uid: "u1", allowed: true });
    }
  });

  test("Components bring their containers; when they cannot be listed there is no pod without them", async () => {
    const pod = testPod({ ...on, "dapr.io/inject-pluggable-components": "true" });
    assert.ok(patchOf(await verdict(review(pod))).some(({ value }: { value: { name?: string } }) => value.name === "mystore"));
    const { response } = await verdict(review(pod, { namespace: "broken" }));
    assert.deepEqual([response.allowed, response.status.message], [false, "dapr.io: error when fetching components: 403"]);
  });
});

describe("namespaces", () => {
  const jane = { userInfo: { username: "jane" } };

  test("a labelled one has all its pods injected, by whomever, with its defaults", async () => {
    for (const path of ["/mutate", "/mutate/namespace"]) {
      const answer = await verdict(review(testPod(null), { namespace: "labelled", ...jane }), path);
      const sidecar = patchOf(answer).find(({ value }: { value: { name?: string } }) => value.name === "daprd").value;
      assert.equal(sidecar.args[sidecar.args.indexOf("--log-level") + 1], "debug");
    }
  });

  test("the webhook that goes by the label is believed before our copy has it", async () => {
    const answer = await verdict(review(testPod(null), { namespace: "new", ...jane }), "/mutate/namespace");
    assert.equal(answer.response.patchType, "JSONPatch");
  });

  test("one can refuse sidecars", async () => {
    const { response } = await verdict(review(testPod(on), { namespace: "closed" }));
    assert.deepEqual([response.allowed, response.patch], [true, undefined]);
    assert.match(response.warnings[0], /label dapr.io\/inject=disabled/);
  });
});

describe("advice on workloads", () => {
  const template = (annotations: Record<string, string>) => ({ metadata: { annotations }, spec: testPod(null).spec });
  const workload = (kind: string, spec: unknown, userInfo = { username: "jane" }) =>
    review({ metadata: { name: "orders" }, spec }, { kind: { kind }, operation: "UPDATE", userInfo });

  test("names what will refuse the pods and what has no effect, and lets the workload through", async () => {
    const odd = { ...on, "dapr.io/app-prot": "1", "dapr.io/log-level": "loud" };
    for (const [kind, spec] of [
      ["Deployment", { template: template(odd) }],
      ["CronJob", { jobTemplate: { spec: { template: template(odd) } } }],
    ] as const) {
      const { response } = await verdict(workload(kind, spec), "/advise");
      assert.deepEqual([response.allowed, response.patch, response.warnings.length], [true, undefined, 2]);
      assert.match(response.warnings[0], /^its pods will be refused: metadata.annotations\[dapr.io\/log-level\]/);
      assert.match(response.warnings[1], /did you mean dapr.io\/app-port\?/);
    }
  });

  test("an app id is missed where pods have no name yet, and nowhere else", async () => {
    const spec = { template: template({ "dapr.io/enabled": "true" }) };
    assert.match((await verdict(workload("Deployment", spec), "/advise")).response.warnings[0], /app-id annotation is empty/);
    assert.equal((await verdict(workload("StatefulSet", spec), "/advise")).response.warnings, undefined);
  });

  test("what is fine, has no pods or cannot be read gets no word", async () => {
    for (const spec of [
      { template: template(on) },
      { template: template({}) },
      {},
      null,
      { template: { spec: { containers: 1 }, metadata: { annotations: on } } },
    ]) {
      assert.deepEqual((await verdict(workload("Deployment", spec), "/advise")).response, { uid: "u1", allowed: true });
    }
  });
});

test("metrics have Dapr's names", async () => {
  const text = await metrics.text();
  assert.match(text, /^dapr_injector_sidecar_injection_requests_total \d+$/m);
  assert.match(text, /^dapr_injector_sidecar_injection_succeeded_total\{app_id="orders"\} \d+$/m);
  assert.match(text, /^dapr_injector_sidecar_injection_failed_total\{app_id="orders",reason="patch"\} \d+$/m);
  assert.match(text, /^dapr_injector_sidecar_injection_failed_total\{app_id="orders",reason="pod_patch"\} \d+$/m);
});
