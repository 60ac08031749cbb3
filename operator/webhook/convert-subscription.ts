// A Subscription between its two versions: pure. v1alpha1 has one route, v2alpha1 has rules and a default; the rules of a
// v2alpha1 travel through v1alpha1 in an annotation, so that who reads the old version and writes it back loses nothing.
import { arrayOf, type Json, objectOf, textOf } from "../../lib/kube/object.ts";

export const rulesAnnotation = "outrigger.io/subscription-rules";

const versions = ["dapr.io/v1alpha1", "dapr.io/v2alpha1"];

export class ConversionError extends Error {
  override readonly name = "ConversionError";
}

/** Throws ConversionError, whose message the user of kubectl sees. */
export function convertSubscription(value: unknown, desired: string): Json {
  const object = objectOf(value);
  const [from, kind] = [textOf(object["apiVersion"]), textOf(object["kind"])];
  if (kind !== "Subscription")
    throw new ConversionError(`cannot convert ${kind || "an object without kind"}: only Subscriptions are converted`);
  for (const version of [from, desired]) {
    if (!versions.includes(version)) throw new ConversionError(`cannot convert between ${from} and ${desired}: ${version} is not known`);
  }
  if (from === desired) return object;
  return desired === "dapr.io/v2alpha1" ? toRules(object) : toRoute(object);
}

function toRules(object: Json): Json {
  const { route, ...spec } = objectOf(object["spec"]);
  const { [rulesAnnotation]: kept, ...annotations } = objectOf(objectOf(object["metadata"])["annotations"]);
  const rules = readRules(kept);
  const routes = { ...(textOf(route) === "" ? {} : { default: route }), ...(rules === null ? {} : { rules }) };
  const metadata = kept === undefined ? objectOf(object["metadata"]) : withAnnotations(object, annotations);
  return { ...object, apiVersion: "dapr.io/v2alpha1", metadata, spec: { ...spec, routes } };
}

function toRoute(object: Json): Json {
  const { routes, ...spec } = objectOf(object["spec"]);
  const { default: route, rules } = objectOf(routes);
  const annotations = objectOf(objectOf(object["metadata"])["annotations"]);
  const kept = arrayOf(rules);
  const metadata =
    kept.length === 0 ? objectOf(object["metadata"]) : withAnnotations(object, { ...annotations, [rulesAnnotation]: JSON.stringify(kept) });
  return { ...object, apiVersion: "dapr.io/v1alpha1", metadata, spec: { ...spec, route: textOf(route) } };
}

function withAnnotations(object: Json, annotations: Json): Json {
  const { annotations: _, ...metadata } = objectOf(object["metadata"]);
  return Object.keys(annotations).length === 0 ? metadata : { ...metadata, annotations };
}

/** Null: none, or nothing that we wrote. */
function readRules(text: unknown): readonly Json[] | null {
  try {
    const rules = arrayOf(JSON.parse(textOf(text))).map(objectOf);
    const isRule = ({ match, path }: Json) => typeof match === "string" && typeof path === "string";
    return rules.length > 0 && rules.every(isRule) ? rules : null;
  } catch {
    return null;
  }
}
