// Access control of the callee: Configuration.accessControl compiled once to a decision. Pure. What is allowed is decided
// on the caller's proven identity, on the operation as the app will read it, and for HTTP apps on the verb.
import { normalizeMethod } from "../../lib/kit/method-path.ts";
import type { AccessControl, AccessPolicy } from "../../lib/resources/configuration.ts";
import { lowerCase, readByHttpApp } from "./operation.ts";
import { OperationTree } from "./operation-tree.ts";

export interface Caller {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly appId: string;
}

/** Whether the caller's own policy decided or the global default, which is how metrics tell them apart. */
export interface Decision {
  readonly allowed: boolean;
  readonly by: "app" | "global";
}

/** `caller` is null when the other end has not proven who it is. `operation` is the normalised one. */
export type Decide = (caller: Caller | null, operation: string, verb: string) => Decision;

/** Ends the start; the message follows "Fatal error from runtime: ". */
export class AccessControlError extends Error {
  override readonly name = "AccessControlError";
}

/** Operations of `settings` that no call can fall under: what they allow or deny has no effect. */
export function ineffectiveOperations({ policies }: AccessControl): readonly string[] {
  const names = policies.flatMap(({ operations }) => operations.map(({ name }) => name));
  return names.filter((name) => /\/\*\//.test(rooted(name)) || !isNormal(rooted(name)));
}

function isNormal(path: string): boolean {
  try {
    return path === "/" || normalizeMethod(path) === path;
  } catch {
    return false;
  }
}

interface Rule {
  readonly action: string;
  readonly verbs: ReadonlyMap<string, string>;
}

interface Policy {
  readonly trustDomain: string;
  readonly defaultAction: string;
  readonly operations: OperationTree<Rule>;
}

/** Null when everyone may call everything. `isHttp` is of the app's protocol. Throws AccessControlError. */
export function compileAccessControl(settings: AccessControl, isHttp: boolean): Decide | null {
  const { policies } = settings;
  check(policies);
  const global = isAllow(globalAction(settings));
  if (policies.length === 0 && global) return null;
  const byCaller = new Map<string, Policy>();
  // The last policy of a caller counts.
  for (const policy of policies) byCaller.set(keyOf(policy), compilePolicy(policy, isHttp));
  const globally: Decision = Object.freeze({ allowed: global, by: "global" });

  return (caller, operation, verb) => {
    const policy = caller === null ? undefined : byCaller.get(keyOf(caller));
    if (policy === undefined || policy.trustDomain !== caller?.trustDomain) return globally;
    const fallback = policy.defaultAction === "" ? global : isAllow(policy.defaultAction);
    const by = policy.defaultAction === "" ? "global" : "app";
    const path = isHttp ? readByHttpApp(operation) : rooted(operation);
    // The app might read another path than the one that stands here.
    if (path === null) return { allowed: false, by };
    const rule = policy.operations.find(path);
    if (rule === null) return { allowed: fallback, by };
    if (!isHttp) return { allowed: isAllow(rule.action), by };
    if (verb === "NONE") return { allowed: isAllow(policy.defaultAction), by };
    const action = rule.verbs.get(verb) ?? rule.verbs.get("*");
    return { allowed: action === undefined ? fallback : isAllow(action), by };
  };
}

function globalAction({ defaultAction, policies, trustDomain }: AccessControl): string {
  if (defaultAction !== "") return defaultAction;
  return policies.length > 0 || trustDomain !== "" ? "deny" : "allow";
}

function check(policies: readonly AccessPolicy[]): void {
  const listed = (lacking: (policy: AccessPolicy) => boolean) =>
    `[${policies
      .filter(lacking)
      .map(({ appId }) => appId)
      .join(" ")}]`;
  const noTrustDomain = ({ trustDomain }: AccessPolicy) => trustDomain === "";
  const noNamespace = ({ namespace }: AccessPolicy) => namespace === "";
  const noName = policies.some(({ appId }) => appId === "");
  if (!noName && !policies.some((policy) => noTrustDomain(policy) || noNamespace(policy))) return;
  throw new AccessControlError(
    `invalid access control spec. missing trustdomain for apps: ${listed(noTrustDomain)}, missing namespace for apps: ${listed(noNamespace)}, missing app name on at least one of the app policies: ${noName}`,
  );
}

function compilePolicy(policy: AccessPolicy, isHttp: boolean): Policy {
  const operations = new OperationTree<Rule>();
  for (const { name, httpVerbs, action } of policy.operations) {
    const path = rooted(name);
    operations.add(isHttp ? lowerCase(path) : path, { action, verbs: new Map(httpVerbs.map((verb) => [verb, action])) });
  }
  return { trustDomain: policy.trustDomain, defaultAction: policy.defaultAction, operations };
}

function rooted(operation: string): string {
  return operation.startsWith("/") ? operation : `/${operation}`;
}

function isAllow(action: string): boolean {
  return action.toLowerCase() === "allow";
}

/** App ids and namespaces hold no bar. */
function keyOf({ appId, namespace }: { readonly appId: string; readonly namespace: string }): string {
  return `${appId}||${namespace}`;
}
