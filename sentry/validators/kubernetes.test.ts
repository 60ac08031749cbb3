// The Kubernetes validator, client and store against a local HTTPS server that speaks the parts of the API as documented:
// TokenReview, pods, Configurations, Secrets and ConfigMaps.
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { around, testAuthority } from "../../lib/security/test-authority.ts";
import { createLeaf } from "../../lib/security/x509/certificate.ts";
import { generateKey, privateKeyPem } from "../../lib/security/x509/keys.ts";
import { certificatesPem } from "../../lib/security/x509/read-certificate.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { createKubernetesClient, type KubernetesClient } from "../kubernetes/client.ts";
import { createKubernetesValidator } from "./kubernetes.ts";
import type { IdentityRequest, Validator } from "./validator.ts";

const sentryId = "spiffe://cluster.local/ns/dapr-system/dapr-sentry";
const never = new AbortController().signal;

interface Cluster {
  review: Record<string, unknown>;
  readonly objects: Map<string, unknown>;
  readonly forbidden: Set<string>;
  requests: { readonly method: string; readonly path: string; readonly authorization: string; readonly body: string }[];
}

const cluster: Cluster = { review: {}, objects: new Map(), forbidden: new Set(), requests: [] };
const server = createServer();
let client: KubernetesClient;
let validator: Validator;

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

before(async () => {
  const authority = await testAuthority({});
  const key = await generateKey("ecdsa-p256");
  const uri = "spiffe://cluster.local/ns/kube-system/api";
  const leaf = createLeaf({ publicKey: key.publicKey, uri, dns: ["kubernetes"], validity: around(Date.now()) }, authority.issuer);
  server.setSecureContext({ cert: certificatesPem([leaf, authority.issuer.certificate]), key: privateKeyPem(key.privateKey) });
  server.on("request", (request, response) => {
    void bodyOf(request).then((body) => {
      const { method = "", url = "" } = request;
      cluster.requests.push({ method, path: url, authorization: request.headers.authorization ?? "", body });
      const path = url.replace(/\?.*/, "");
      const status = cluster.forbidden.has(path) ? 403 : 200;
      const found = path.endsWith("/tokenreviews") ? { status: cluster.review } : cluster.objects.get(path);
      const answer = status === 403 ? { message: "not allowed" } : found;
      response.writeHead(answer === undefined ? 404 : status, { "content-type": "application/json" });
      response.end(JSON.stringify(answer ?? { message: "not found" }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  client = createKubernetesClient({
    server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: authority.rootPem,
    serverName: "kubernetes",
    clientCertificate: null,
    clientKey: null,
    token: async () => "sentry-token",
  });
  validator = createKubernetesValidator({
    api: client,
    sentryId,
    controlPlaneNamespace: "dapr-system",
    controlPlaneTrustDomain: "cluster.local",
    trustDomainOf: (value) => (value as { spec?: { accessControl?: { trustDomain?: string } } }).spec?.accessControl?.trustDomain ?? "",
    log: silentLogger,
  });
});

after(() => {
  client.close();
  server.closeAllConnections();
  server.close();
});

function pod(namespace: string, name: string, annotations: Record<string, string>, serviceAccount = "account", uid = "u-1"): void {
  const object = { metadata: { namespace, name, uid, annotations }, spec: { serviceAccountName: serviceAccount } };
  cluster.objects.set(`/api/v1/namespaces/${namespace}/pods/${name}`, object);
}

function reviewed(username: string, more: object = {}): void {
  cluster.review = { authenticated: true, audiences: [sentryId], user: { username }, ...more };
}

beforeEach(() => {
  cluster.objects.clear();
  cluster.forbidden.clear();
  cluster.requests = [];
  reviewed("system:serviceaccount:shop:account");
  pod("shop", "web-1", { "dapr.io/app-id": "web" });
});

function token(claims: object = { "kubernetes.io": { pod: { name: "web-1", uid: "u-1" } } }): string {
  return `${Buffer.from('{"alg":"RS256"}').toString("base64url")}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;
}

const request = (more: Partial<IdentityRequest> = {}): IdentityRequest => ({
  id: "web",
  namespace: "shop",
  trustDomain: "cluster.local",
  token: token(),
  csrBytes: 100,
  ...more,
});

test("a pod gets its own identity; the trust domain is not the caller's choice", async () => {
  assert.equal(await validator.validate(request(), never), "public");
  const [review] = cluster.requests;
  assert.deepEqual([review?.method, review?.authorization], ["POST", "Bearer sentry-token"]);
  const { spec } = JSON.parse(review?.body ?? "");
  assert.deepEqual(spec, { token: token(), audiences: ["dapr.io/sentry", sentryId] });
});

test("the trust domain is that of the pod's Configuration", async () => {
  pod("shop", "web-1", { "dapr.io/app-id": "web", "dapr.io/config": "web-config" });
  await assert.rejects(validator.validate(request(), never), /failed to get configuration/);
  const path = "/apis/dapr.io/v1alpha1/namespaces/shop/configurations/web-config";
  cluster.objects.set(path, { spec: { accessControl: { trustDomain: "corp.example" } } });
  assert.equal(await validator.validate(request(), never), "corp.example");
  cluster.objects.set(path, { spec: {} });
  assert.equal(await validator.validate(request(), never), "public");
  cluster.objects.set(path, { spec: { accessControl: { trustDomain: "Corp Example" } } });
  await assert.rejects(validator.validate(request(), never), /failed to parse trust domain/);
});

test("a pod without an app id has its name; one of the control plane its service", async () => {
  pod("shop", "web-1", {});
  assert.equal(await validator.validate(request({ id: "web-1" }), never), "public");
  reviewed("system:serviceaccount:dapr-system:operator");
  pod("dapr-system", "web-1", { "dapr.io/control-plane": "operator" }, "operator");
  assert.equal(await validator.validate(request({ id: "dapr-operator", namespace: "dapr-system" }), never), "cluster.local");
});

test("another pod's, namespace's or audience's token, and what is no pod's token, are refused by name", async () => {
  const refused = (message: RegExp, more: Partial<IdentityRequest> = {}) =>
    assert.rejects(validator.validate(request(more), never), message);
  await refused(/app-id mismatch. expected: web, received: bank/, { id: "bank" });
  await refused(/namespace mismatch; received namespace: bank/, { namespace: "bank" });
  await refused(/failed to get pod of identity/, { token: token({ "kubernetes.io": { pod: { name: "gone" } } }) });
  await refused(/pod uid mismatch/, { token: token({ "kubernetes.io": { pod: { name: "web-1", uid: "u-0" } } }) });
  await refused(/failed to get pod of identity/, { token: token({ "kubernetes.io": { pod: { name: "../../secrets/x" } } }) });
  await refused(/pod\/name claim is missing/, { token: token({}) });
  await refused(/failed to parse Kubernetes token/, { token: "no token" });
  pod("shop", "web-1", { "dapr.io/app-id": "web" }, "another");
  await refused(/pod service account mismatch/);
  reviewed("system:serviceaccount:shop:account", { audiences: ["https://kubernetes.default.svc"] });
  await refused(/it is for another audience/);
  reviewed("system:serviceaccount:shop:account", { error: "token has expired" });
  await refused(/invalid token: token has expired/);
  reviewed("alice");
  await refused(/not a properly structured service account token/);
  cluster.review = { authenticated: false };
  await refused(/authentication failed/);
  cluster.forbidden.add("/apis/authentication.k8s.io/v1/tokenreviews");
  await refused(/token review failed: the Kubernetes API answered 403: not allowed/);
});

test("an app cannot pass for a service of the control plane", async () => {
  const refused = (message: RegExp, more: Partial<IdentityRequest> = {}) =>
    assert.rejects(validator.validate(request(more), never), message);
  pod("shop", "web-1", { "dapr.io/control-plane": "operator" });
  await refused(/control plane service in namespace 'shop' is not allowed/, { id: "dapr-operator" });
  reviewed("system:serviceaccount:dapr-system:account");
  const asked = { id: "dapr-bank", namespace: "dapr-system" };
  pod("dapr-system", "web-1", { "dapr.io/control-plane": "bank" });
  await refused(/unknown control plane service/, asked);
  pod("dapr-system", "web-1", { "dapr.io/control-plane": "operator", "dapr.io/app-id": "dapr-operator" });
  await refused(/cannot have annotation/, { ...asked, id: "dapr-operator" });
});

test("a role that may only list pods is enough", async () => {
  cluster.forbidden.add("/api/v1/namespaces/shop/pods/web-1");
  const annotations = { "dapr.io/app-id": "web" };
  const named = (name: string) => ({ metadata: { namespace: "shop", name, annotations }, spec: { serviceAccountName: "account" } });
  cluster.objects.set("/api/v1/pods", { items: [named("web-2"), named("web-1")] });
  assert.equal(await validator.validate(request(), never), "public");
});
