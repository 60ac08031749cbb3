// nameresolution.kubernetes v1: the address is the name of the Service that the operator keeps for every app; the cluster's DNS
// does the rest. `clusterDomain`, or a whole `template` with {{.ID}}, {{.Namespace}}, {{.Port}} and {{.Data.key}}.
import type { DriverContext } from "../driver.ts";
import type { NameResolver, ResolveRequest } from "./resolver.ts";

export function create({ properties }: DriverContext): NameResolver {
  const clusterDomain = properties.string("clusterDomain", "cluster.local");
  const template = properties.string("template", "");
  const addressOf = template === "" ? serviceOf(clusterDomain) : compileTemplate(template, (text) => properties.problem(text));
  properties.check();
  return {
    init: async () => {},
    register: async () => {},
    resolve: async (request) => [addressOf(request)],
    // The name stays; what it stands for is looked up with every connection.
    invalidate: () => {},
    close: async () => {},
  };
}

type AddressOf = (request: ResolveRequest) => string;

function serviceOf(clusterDomain: string): AddressOf {
  return ({ appId, namespace, port }) => `${appId}-dapr.${namespace}.svc.${clusterDomain}:${port}`;
}

/** The part of Go's templates that names something: fields, without pipes, functions or conditions. */
function compileTemplate(template: string, problem: (text: string) => void): AddressOf {
  const parts = template.split(/\{\{-?\s*(.*?)\s*-?\}\}/).map((part, i): string | AddressOf => {
    if (i % 2 === 0) return part;
    const field = fields.get(part);
    if (field !== undefined) return field;
    // Values that calls carry besides id, namespace and port; sidecars send none.
    if (/^\.Data(\.\w+)+$/.test(part)) return "<no value>";
    problem(`invalid value '{{${part}}}' in 'template': use {{.ID}}, {{.Namespace}} and {{.Port}} only`);
    return "";
  });
  return (request) => parts.map((part) => (typeof part === "string" ? part : part(request))).join("");
}

const fields: ReadonlyMap<string, AddressOf> = new Map([
  [".ID", ({ appId }) => appId],
  [".Namespace", ({ namespace }) => namespace],
  [".Port", ({ port }) => String(port)],
]);
