// Who gets a sidecar injected. Dapr goes by the account that creates the pod: a list of controllers, patterns that the
// installation adds, and administrators. That is no protection, since whoever may create a Deployment has a controller
// create the pod; so a namespace can say yes or no for all its pods, and the installation can go by the pod alone.

export type InjectionPolicy = "service-accounts" | "pods";
export type AccountMatcher = (namespace: string, name: string) => boolean;

export interface Requester {
  readonly username: string;
  readonly groups: readonly string[];
}

/** Controllers of Kubernetes and of what Dapr has met in clusters. */
const knownAccounts = [
  "kube-system:replicaset-controller",
  "kube-system:replication-controller",
  "kube-system:deployment-controller",
  "kube-system:cronjob-controller",
  "kube-system:job-controller",
  "kube-system:statefulset-controller",
  "kube-system:daemon-set-controller",
  "openshift-operator-lifecycle-manager:olm-operator-serviceaccount",
  "tekton-pipelines:tekton-pipelines-controller",
  "mirrord:mirrord-operator",
];
/** All controllers in one, in clusters where they have no accounts of their own. */
const controllerManager = "system:kube-controller-manager";
const administrators = "system:masters";
const accountPrefix = "system:serviceaccount:";

/** Reason for a refusal; null: it may be. `label` is the namespace's `dapr.io/inject`. */
export function refusalOf(requester: Requester, label: string, policy: InjectionPolicy, matches: AccountMatcher): string | null {
  if (label === "disabled") return "the namespace has the label dapr.io/inject=disabled";
  if (label === "enabled" || policy === "pods") return null;
  if (requester.groups.includes(administrators) || requester.username === controllerManager) return null;
  const [namespace, name, ...more] = requester.username.startsWith(accountPrefix)
    ? requester.username.slice(accountPrefix.length).split(":")
    : [];
  if (namespace !== undefined && name !== undefined && more.length === 0 && matches(namespace, name)) return null;
  return `service account '${requester.username}' not on the list of allowed controller accounts`;
}

/** `patterns` are `namespace:name` with `*`, `?` and `[…]`, besides the known controllers. Throws for what is no pattern. */
export function accountMatcher(patterns: readonly string[]): AccountMatcher {
  const pairs = [...knownAccounts, ...patterns].flatMap((pattern) => {
    const text = pattern.trim();
    return text === "" ? [] : [accountPattern(text)];
  });
  return (namespace, name) => pairs.some((pair) => pair.namespace(namespace) && pair.name(name));
}

function accountPattern(text: string): { readonly namespace: (text: string) => boolean; readonly name: (text: string) => boolean } {
  const parts = text.split(":").map((part) => part.trim());
  const [namespace = "", name = ""] = parts;
  if (parts.length !== 2) throw new Error(`invalid pattern "${text}", must contain exactly one ':' separating namespace and name`);
  if (namespace === "" && name === "") throw new Error("namespace and name patterns cannot both be empty");
  return { namespace: glob(namespace), name: glob(name) };
}

/** Patterns as Go's path.Match has them: `*` and `?` stop at a slash. Throws for a bad one. */
export function glob(pattern: string): (text: string) => boolean {
  const expression = new RegExp(`^${globExpression(pattern)}$`, "su");
  return (text) => expression.test(text);
}

const globPart = /\*+|\?|\[(\^?)((?:\\.|[^\]\\])+)\]|\\(.)|[^*?[\\]/gsu;

function globExpression(pattern: string): string {
  let end = 0;
  let expression = "";
  for (const match of pattern.matchAll(globPart)) {
    if (match.index !== end) break;
    end += match[0].length;
    expression += partExpression(match);
  }
  if (end !== pattern.length) throw new Error(`invalid pattern "${pattern}": syntax error in pattern`);
  return expression;
}

function partExpression([whole, negated, set, escaped]: RegExpMatchArray): string {
  if (whole.startsWith("*")) return "[^/]*";
  if (whole === "?") return "[^/]";
  if (set !== undefined) return `[${negated}${set.replace(/\\(.)/gsu, "$1").replace(/[\\\]^]/gu, "\\$&")}]`;
  return (escaped ?? whole).replace(/[.*+?^${}()|[\]\\/]/gu, "\\$&");
}
