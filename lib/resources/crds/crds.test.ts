// The CRDs against the parsers of the same resources: whatever a CRD lets in, our parser knows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseComponent } from "../component.ts";
import { parseConfiguration } from "../configuration-parser.ts";
import { parseHttpEndpoint } from "../http-endpoint.ts";
import { parseResiliency } from "../resiliency.ts";
import { parseSubscription } from "../subscription.ts";
import { plainValue } from "../yaml.ts";
import { crdSources } from "./crds.ts";
import { customResourceDefinition } from "./definition.ts";
import type { Schema } from "./schema.ts";

const parsers = {
  Component: parseComponent,
  Configuration: parseConfiguration,
  HTTPEndpoint: parseHttpEndpoint,
  Resiliency: parseResiliency,
  Subscription: parseSubscription,
};

/** An object that has every field. */
function sample(schema: Schema): unknown {
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.items !== undefined) return [sample(schema.items)];
  if (schema.additionalProperties !== undefined) return { key: sample(schema.additionalProperties) };
  if (schema.properties !== undefined)
    return Object.fromEntries(Object.entries(schema.properties).map(([name, one]) => [name, sample(one)]));
  return { string: "text", integer: 1, boolean: true, array: [], object: {} }[schema.type ?? "string"];
}

for (const [kind, parse] of Object.entries(parsers)) {
  test(`every field of a ${kind} is one that its parser reads`, () => {
    const source = crdSources.find((one) => one.kind === kind);
    assert.ok(source);
    const { spec } = customResourceDefinition(source);
    for (const { name, schema } of spec.versions) {
      const object = {
        ...(sample(schema.openAPIV3Schema as Schema) as object),
        apiVersion: `dapr.io/${name}`,
        kind,
        metadata: { name: "x" },
      };
      const { problems } = parse(plainValue(object), "x");
      assert.deepEqual(
        problems.filter(({ cause }) => /unknown|not known|has no effect/.test(cause)),
        [],
        name,
      );
    }
  });
}
