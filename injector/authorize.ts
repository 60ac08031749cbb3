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

type Step = "star" | ((character: string) => boolean);

/**
 * Patterns with `*`, `?`, `[…]` and `\` before a character that means itself, as Go's path.Match reads them, but for slashes,
 * which names of accounts have none of. Takes time by the product of both lengths at worst. Throws for a bad pattern.
 */
export function glob(pattern: string): (text: string) => boolean {
  const steps = stepsOf(pattern);
  return (text) => runs(steps, [...text]);
}

const part = /(\*+)|(\?)|\[(\^?)((?:\\.|[^\]\\])+)\]|\\(.)|([^*?[\\])/gsu;

function stepsOf(pattern: string): readonly Step[] {
  let end = 0;
  const steps: Step[] = [];
  for (const match of pattern.matchAll(part)) {
    if (match.index !== end) break;
    end += match[0].length;
    steps.push(stepOf(match));
  }
  if (end !== pattern.length) throw new Error(`invalid pattern "${pattern}": syntax error in pattern`);
  return steps;
}

function stepOf([, star, any, negated, set, escaped, plain]: RegExpMatchArray): Step {
  if (star !== undefined) return "star";
  if (any !== undefined) return () => true;
  if (set === undefined) return (character) => character === (escaped ?? plain);
  const inSet = new RegExp(`^[${set.replace(/\\(.)/gsu, "$1").replace(/[\\\]^]/gu, "\\$&")}]$`, "su");
  return (character) => inSet.test(character) === (negated === "");
}

/** A star takes as little as it can; when the rest does not fit, the last one takes one more. */
function runs(steps: readonly Step[], text: readonly string[]): boolean {
  let at = 0;
  let step = 0;
  let star = -1;
  let taken = 0;
  while (at < text.length) {
    const now = steps[step];
    if (now === "star") {
      [star, taken] = [step++, at];
    } else if (now?.(text[at] as string)) {
      at++;
      step++;
    } else if (star >= 0) {
      step = star + 1;
      at = ++taken;
    } else return false;
  }
  while (steps[step] === "star") step++;
  return step === steps.length;
}
