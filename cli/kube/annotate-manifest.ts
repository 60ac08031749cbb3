// Puts annotations on the pods of a manifest: on pods themselves and on the templates of everything that makes pods. What the
// manifest says otherwise stays; an app id that nobody gave is made of the object, as Dapr's CLI does.
import { dump, loadAll } from "js-yaml";
import { annotationPrefix, readAnnotations } from "../../lib/resources/annotations.ts";
import { problemText } from "../../lib/resources/problem.ts";

export interface AnnotateRequest {
  /** Names after `dapr.io/`. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Only the object of this name, and namespace; null: all. */
  readonly resource: string | null;
  readonly namespace: string | null;
}

export interface Annotated {
  readonly text: string;
  /** `Deployment/shop`, of every object that was annotated. */
  readonly names: readonly string[];
  readonly warnings: readonly string[];
}

type Node = Record<string, unknown>;

/** Where the metadata of the pods stands, by kind. */
const podPaths: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  Rollout: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
};

/** Throws an Error of js-yaml for a text that is no YAML. */
export function annotateManifest(text: string, request: AnnotateRequest): Annotated {
  const names: string[] = [];
  const warnings: string[] = [];
  const documents = loadAll(text).filter((document) => document !== null && document !== undefined);
  for (const document of documents) {
    for (const object of objectsOf(document)) {
      const metadata = podMetadata(object, request);
      if (metadata === null) continue;
      const name = `${object["kind"]}/${nameOf(object)}`;
      names.push(name);
      warnings.push(...annotate(object, metadata, request).map((warning) => `${name}: ${warning}`));
    }
  }
  return { text: documents.map((document) => dump(document, { lineWidth: -1, noRefs: true })).join("---\n"), names, warnings };
}

/** The document, or the items of a List. */
function objectsOf(document: unknown): readonly Node[] {
  if (!isNode(document)) return [];
  const { kind, items } = document;
  return typeof kind === "string" && kind.endsWith("List") && Array.isArray(items) ? items.filter(isNode) : [document];
}

function podMetadata(object: Node, { resource, namespace }: AnnotateRequest): Node | null {
  const path = podPaths[String(object["kind"])];
  if (path === undefined) return null;
  if (resource !== null && nameOf(object) !== resource) return null;
  if (namespace !== null && namespaceOf(object) !== namespace) return null;
  let node = object;
  for (const step of [...path, "metadata"]) node = child(node, step);
  return node;
}

/** The object at `name`, made when it is missing. */
function child(node: Node, name: string): Node {
  const found = Object.hasOwn(node, name) ? node[name] : undefined;
  if (isNode(found)) return found;
  const made: Node = {};
  node[name] = made;
  return made;
}

function annotate(object: Node, metadata: Node, { annotations: wanted }: AnnotateRequest): readonly string[] {
  const annotations = child(metadata, "annotations");
  const set = (name: string, value: string) => {
    annotations[`${annotationPrefix}${name}`] = value;
  };
  set("enabled", "true");
  if (wanted["app-id"] === undefined && annotations[`${annotationPrefix}app-id`] === undefined) {
    set("app-id", `${namespaceOf(object)}-${String(object["kind"]).toLowerCase()}-${nameOf(object)}`);
  }
  for (const [name, value] of Object.entries(wanted)) set(name, value);
  const texts = Object.fromEntries(Object.entries(annotations).map(([name, value]) => [name, String(value)]));
  return readAnnotations({ name: "pod", annotations: texts }).problems.map(problemText);
}

function nameOf(object: Node): string {
  return String((isNode(object["metadata"]) ? object["metadata"]["name"] : undefined) ?? "");
}

function namespaceOf(object: Node): string {
  return String((isNode(object["metadata"]) ? object["metadata"]["namespace"] : undefined) ?? "default");
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
