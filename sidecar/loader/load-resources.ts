// Reads the resource directories of a standalone sidecar. As in Dapr a document that cannot be read is left out with a
// warning, and a name that is used twice ends the start. Resources of other namespaces and other apps are left out.
import { type Component, componentLogName, componentType, parseComponent } from "../../lib/resources/component.ts";
import { type Configuration, configurationType } from "../../lib/resources/configuration.ts";
import { parseConfiguration } from "../../lib/resources/configuration-parser.ts";
import { type HttpEndpoint, httpEndpointType, parseHttpEndpoint } from "../../lib/resources/http-endpoint.ts";
import { type Parsed, type Problem, problemText } from "../../lib/resources/problem.ts";
import { parseResiliency, type Resiliency, resiliencyType } from "../../lib/resources/resiliency.ts";
import { type ResourceMetadata, resourceName, resourceType } from "../../lib/resources/resource.ts";
import { parseSubscription, type Subscription, subscriptionTypes } from "../../lib/resources/subscription.ts";
import { parseYaml, splitDocuments, type Value, yamlMaxBytes } from "../../lib/resources/yaml.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { fileErrorText } from "./disk-files.ts";
import { LoadError } from "./load-configuration.ts";
import type { DirectoryEntry, ResourceFiles } from "./ports.ts";

/** Whom resources are read for. */
export interface ResourceScope {
  readonly appId: string;
  readonly namespace: string;
  /** False: the namespace of resources does not matter. */
  readonly namespaceGiven: boolean;
}

export interface ResourceSource extends ResourceScope {
  readonly paths: readonly string[];
  readonly files: ResourceFiles;
  readonly log: Logger;
}

/** What concerns this sidecar, in the order of the files. */
export interface Resources {
  readonly components: readonly Component[];
  readonly subscriptions: readonly Subscription[];
  readonly httpEndpoints: readonly HttpEndpoint[];
  readonly resiliencies: readonly Resiliency[];
  /** Those that lie among the other resources; which one the sidecar uses is not decided here. */
  readonly configurations: readonly Configuration[];
  /** Everything found wrong, already logged. */
  readonly problems: readonly Problem[];
}

/** A name of a component is used twice; `duplicates` says which, a line each. */
export class DuplicateError extends LoadError {
  readonly duplicates: string;

  constructor(duplicates: string) {
    super(`failed to load components: ${duplicates}`);
    this.duplicates = duplicates;
  }
}

interface Bins {
  readonly components: Component[];
  readonly subscriptions: Subscription[];
  readonly httpEndpoints: HttpEndpoint[];
  readonly resiliencies: Resiliency[];
  readonly configurations: Configuration[];
  readonly problems: Problem[];
}

interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
  take(value: Value, file: string, bins: Bins): readonly Problem[];
}

function kindOf<T>(
  type: { readonly apiVersion: string; readonly kind: string },
  parse: (value: Value, file: string) => Parsed<T>,
  bin: (bins: Bins) => T[],
): Kind {
  return {
    ...type,
    take(value, file, bins) {
      const { resource, problems } = parse(value, file);
      if (resource !== null) bin(bins).push(resource);
      return problems;
    },
  };
}

const kinds: readonly Kind[] = [
  kindOf(componentType, parseComponent, (bins) => bins.components),
  kindOf(httpEndpointType, parseHttpEndpoint, (bins) => bins.httpEndpoints),
  kindOf(resiliencyType, parseResiliency, (bins) => bins.resiliencies),
  kindOf(configurationType, parseConfiguration, (bins) => bins.configurations),
  ...subscriptionTypes.map((type) => kindOf(type, parseSubscription, (bins) => bins.subscriptions)),
];

/** Rejects with LoadError when a directory is not there or a name is used twice. */
export async function loadResources(source: ResourceSource, signal: AbortSignal): Promise<Resources> {
  const bins: Bins = { components: [], subscriptions: [], httpEndpoints: [], resiliencies: [], configurations: [], problems: [] };
  const log = source.log.scope("dapr.runtime.loader.disk");
  for (const directory of source.paths) {
    for (const entry of await entriesOf(directory, source)) {
      signal.throwIfAborted();
      await readFile(directory, entry, { ...source, log }, bins);
    }
  }
  const components = select("Component", bins.components, source, componentLogName);
  if (components.duplicates.length > 0) throw new DuplicateError(components.duplicates.join("\n"));
  const endpoints = select("HTTPEndpoint", bins.httpEndpoints, source, (endpoint) => `${endpoint.name} (${endpoint.baseUrl})`);
  // Dapr starts without any endpoint then; so do we.
  if (endpoints.duplicates.length > 0) source.log.warn(`failed to load HTTP endpoints: ${endpoints.duplicates.join("\n")}`);
  return Object.freeze({
    components: components.selected,
    httpEndpoints: endpoints.duplicates.length > 0 ? [] : endpoints.selected,
    subscriptions: bins.subscriptions.filter((subscription) => inScope(subscription, source.appId)),
    resiliencies: bins.resiliencies.filter((resiliency) => inScope(resiliency, source.appId)),
    configurations: bins.configurations,
    problems: bins.problems,
  });
}

async function entriesOf(directory: string, source: ResourceSource): Promise<readonly DirectoryEntry[]> {
  try {
    const entries = await source.files.list(directory);
    return entries.filter((entry) => !entry.directory).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw new LoadError(`failed to load components: ${fileErrorText("open", directory, error)}`);
  }
}

async function readFile(directory: string, entry: DirectoryEntry, source: ResourceSource, bins: Bins): Promise<void> {
  const { files, log } = source;
  if (!/\.ya?ml$/i.test(entry.name)) return log.warn(`A non-YAML Component file ${entry.name} was detected, it will not be loaded`);
  const path = `${directory.replace(/\/+$/, "")}/${entry.name}`;
  let text: string;
  try {
    text = await files.read(path, yamlMaxBytes);
  } catch (error) {
    const cause = fileErrorText("open", path, error);
    bins.problems.push({ severity: "error", file: path, field: "", cause, remedy: "make the file readable" });
    return log.warn(`daprd load Component error when opening file ${path}: ${cause}`);
  }
  splitDocuments(text).forEach((document, i) => {
    const read = readDocument(document, path, bins);
    bins.problems.push(...read.problems);
    report(read, `${path}${i === 0 ? "" : ` (document ${i + 1})`}`, log);
  });
}

interface ReadDocument {
  /** Empty: of no kind that we know. */
  readonly kind: string;
  readonly name: string;
  readonly problems: readonly Problem[];
}

function readDocument(document: string, file: string, bins: Bins): ReadDocument {
  const parsed = parseYaml(document);
  if ("cause" in parsed) {
    const problem: Problem = {
      severity: "error",
      file,
      field: "",
      cause: parsed.cause,
      remedy: "correct the YAML; the document is left out",
    };
    return { kind: "Component", name: "", problems: [problem] };
  }
  const type = resourceType(parsed.value);
  const kind = type && kinds.find((one) => one.apiVersion === type.apiVersion && one.kind === type.kind);
  if (!kind) return { kind: "", name: "", problems: [] };
  return { kind: kind.kind, name: resourceName(parsed.value), problems: kind.take(parsed.value, file, bins) };
}

function report({ kind, name, problems }: ReadDocument, path: string, log: Logger): void {
  const errors = problems.filter((problem) => problem.severity === "error");
  if (errors.length > 0) {
    const causes = errors.map(problemText).join("\n");
    if (kind === resiliencyType.kind) log.error(`Could not read resiliency policy ${name} in ${path}: ${causes}`);
    else log.warn(`daprd load ${kind} error when parsing manifests yaml resource in ${path}: ${causes}`);
  }
  for (const problem of problems) if (problem.severity === "warning") log.warn(`${kind} in ${path}: ${problemText(problem)}`);
}

/** Whether a resource is for this sidecar, by namespace and scopes. */
export function concerns(resource: ResourceMetadata, { appId, namespace, namespaceGiven }: ResourceScope): boolean {
  return !(namespaceGiven && resource.namespace !== "" && resource.namespace !== namespace) && inScope(resource, appId);
}

function inScope(resource: ResourceMetadata, appId: string): boolean {
  return resource.scopes.length === 0 || resource.scopes.includes(appId);
}

/** A name is taken by the first resource that concerns this app; every later one of the name is a duplicate, in scope or not. */
function select<T extends ResourceMetadata>(kind: string, all: readonly T[], source: ResourceSource, logName: (resource: T) => string) {
  const names = new Map<string, string>();
  const selected: T[] = [];
  const duplicates: string[] = [];
  for (const resource of all) {
    if (source.namespaceGiven && resource.namespace !== "" && resource.namespace !== source.namespace) continue;
    const existing = names.get(resource.name);
    if (existing !== undefined) duplicates.push(`duplicate definition of ${kind} name ${logName(resource)} with existing ${existing}`);
    else if (inScope(resource, source.appId)) {
      names.set(resource.name, logName(resource));
      selected.push(resource);
    }
  }
  return { selected, duplicates };
}
