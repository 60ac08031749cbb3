import assert from "node:assert/strict";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { answerReview } from "./conversion-review.ts";
import { convertSubscription, rulesAnnotation } from "./convert-subscription.ts";
import { createWebhookServer } from "./server.ts";

const v1 = "dapr.io/v1alpha1";
const v2 = "dapr.io/v2alpha1";
const subscription = (apiVersion: string, spec: object, annotations?: object) => ({
  apiVersion,
  kind: "Subscription",
  metadata: { name: "s", namespace: "n", ...(annotations && { annotations }) },
  spec: { pubsubname: "p", topic: "t", ...spec },
  scopes: ["a"],
});

test("a route becomes the default, and back", () => {
  const old = subscription(v1, { route: "/r", deadLetterTopic: "d", bulkSubscribe: { enabled: true } });
  const converted = convertSubscription(old, v2);
  assert.deepEqual(converted, subscription(v2, { deadLetterTopic: "d", bulkSubscribe: { enabled: true }, routes: { default: "/r" } }));
  assert.deepEqual(convertSubscription(converted, v1), old);
});

test("rules survive the old version, and a foreign annotation of that name is dropped", () => {
  const rules = [{ match: "event.type == 'x'", path: "/x" }];
  const present = subscription(v2, { routes: { default: "/d", rules } }, { kept: "1" });
  const old = convertSubscription(present, v1) as { spec: { route: string }; metadata: { annotations: Record<string, string> } };
  assert.deepEqual([old.spec.route, Object.keys(old.metadata.annotations)], ["/d", ["kept", rulesAnnotation]]);
  assert.deepEqual(convertSubscription(old, v2), present);
  for (const text of ["", "no JSON", "{}", "[1]", '[{"match":1,"path":"/"}]']) {
    const odd = convertSubscription(subscription(v1, { route: "/r" }, { [rulesAnnotation]: text }), v2);
    assert.deepEqual(odd, subscription(v2, { routes: { default: "/r" } }), text);
  }
});

test("every v2alpha1 comes back from v1alpha1 as it was", () => {
  const rule = fc.record({ match: fc.string(), path: fc.string() });
  const routes = fc.record({ default: fc.string({ minLength: 1 }), rules: fc.array(rule, { minLength: 1 }) }, { requiredKeys: [] });
  fc.assert(
    fc.property(
      routes,
      fc.option(
        fc.dictionary(
          fc.string({ minLength: 1 }).filter((key) => key !== "__proto__"),
          fc.string(),
          { minKeys: 1 },
        ),
        { nil: undefined },
      ),
      (given, annotations) => {
        const present = JSON.parse(JSON.stringify(subscription(v2, { routes: given }, annotations)));
        assert.deepEqual(convertSubscription(convertSubscription(present, v1), v2), present);
      },
    ),
  );
});

test("a review fails by the name of what cannot be converted", () => {
  const review = (objects: unknown[], desiredAPIVersion = v2) =>
    answerReview({ apiVersion: "apiextensions.k8s.io/v1", kind: "ConversionReview", request: { uid: "u", desiredAPIVersion, objects } });
  const good = review([subscription(v1, { route: "/r" })])?.["response"] as { uid: string; convertedObjects: unknown[]; result: object };
  assert.deepEqual([good.uid, good.convertedObjects.length, good.result], ["u", 1, { status: "Success" }]);
  const bad = review([subscription(v1, {}), { ...subscription(v1, {}), kind: "Component" }])?.["response"] as {
    result: { status: string; message: string };
  };
  assert.equal(bad.result.message, "n/s: cannot convert Component: only Subscriptions are converted");
  const unknown = review([subscription(v1, {})], "dapr.io/v3")?.["response"] as { result: { message: string } };
  assert.match(unknown.result.message, /dapr.io\/v3 is not known/);
  for (const odd of [null, 1, {}, { kind: "ConversionReview" }, { kind: "AdmissionReview", request: {} }])
    assert.equal(answerReview(odd), null);
});

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("the server answers reviews, refuses what is none, and survives both", async () => {
  const server = createWebhookServer(silentLogger);
  const base = await listening(server);
  const post = (path: string, body: string) => fetch(`${base}${path}`, { method: "POST", body });
  const review = { kind: "ConversionReview", request: { uid: "u", desiredAPIVersion: v2, objects: [subscription(v1, { route: "/r" })] } };
  assert.equal(((await (await post("/convert", JSON.stringify(review))).json()) as { response: { uid: string } }).response.uid, "u");
  assert.deepEqual(
    [(await post("/convert", "{")).status, (await post("/convert", "{}")).status, (await post("/", "{}")).status],
    [400, 400, 404],
  );
  assert.equal((await post("/convert", JSON.stringify(review))).status, 200);
  server.closeAllConnections();
  server.close();
});
