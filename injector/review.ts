// The two halves of an AdmissionReview: the request read field by field, the response built. Versions v1 and v1beta1 differ
// in nothing that is used here. https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
import { arrayOf, at, type Json, objectOf, textOf } from "../lib/kube/object.ts";
import { type Problem, problemText } from "../lib/resources/problem.ts";
import type { JsonPatch } from "./json-patch.ts";

export interface ReviewRequest {
  readonly apiVersion: string;
  readonly uid: string;
  readonly kind: string;
  readonly subResource: string;
  readonly operation: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: unknown;
  readonly username: string;
  readonly groups: readonly string[];
}

export interface Verdict {
  readonly allowed: boolean;
  /** With a refusal. */
  readonly message?: string;
  readonly patch?: JsonPatch;
  readonly warnings?: readonly string[];
}

const versions = new Set(["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]);
/** The API server cuts longer ones, and would show no more of them. */
const warningMaxChars = 256;
const warningsMax = 16;
const refusalMaxChars = 4096;

/** Throws for what is no AdmissionReview with a request. */
export function readReview(body: Uint8Array): ReviewRequest {
  const review: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  const apiVersion = textOf(at(review, "apiVersion"));
  if (textOf(at(review, "kind")) !== "AdmissionReview" || !versions.has(apiVersion)) {
    throw new Error("the body is no AdmissionReview of admission.k8s.io/v1 or v1beta1");
  }
  const request = objectOf(at(review, "request"));
  if (Object.keys(request).length === 0) throw new Error("the AdmissionReview has no request");
  return {
    apiVersion,
    uid: textOf(request["uid"]),
    kind: textOf(at(request, "kind", "kind")),
    subResource: textOf(request["subResource"]),
    operation: textOf(request["operation"]),
    namespace: textOf(request["namespace"]),
    name: textOf(request["name"]),
    object: request["object"] ?? null,
    username: textOf(at(request, "userInfo", "username")),
    groups: arrayOf(at(request, "userInfo", "groups")).map(textOf),
  };
}

export function reviewResponse(
  request: Pick<ReviewRequest, "apiVersion" | "uid">,
  { allowed, message, patch, warnings = [] }: Verdict,
): Json {
  return {
    apiVersion: request.apiVersion,
    kind: "AdmissionReview",
    response: {
      uid: request.uid,
      allowed,
      ...(message === undefined ? {} : { status: { status: "Failure", message, reason: "Invalid", code: 422 } }),
      ...(patch === undefined || patch.length === 0 ? {} : { patch: encoded(patch), patchType: "JSONPatch" }),
      ...(warnings.length === 0 ? {} : { warnings: shortened(warnings) }),
    },
  };
}

function encoded(patch: JsonPatch): string {
  return Buffer.from(JSON.stringify(patch)).toString("base64");
}

function shortened(warnings: readonly string[]): readonly string[] {
  const shown = warnings
    .slice(0, warningsMax)
    .map((text) => (text.length <= warningMaxChars ? text : `${text.slice(0, warningMaxChars - 3)}...`));
  const left = warnings.length - shown.length;
  return left === 0 ? shown : [...shown, `and ${left} more problems of dapr.io annotations`];
}

export function warningsOf(problems: readonly Problem[]): readonly string[] {
  return problems.filter(({ severity }) => severity === "warning").map(problemText);
}

/** All errors in one text. */
export function refusalText(problems: readonly Problem[]): string {
  const errors = problems.filter(({ severity }) => severity === "error");
  const text = errors.map((problem) => (problem.file === "pod" ? "" : `${problem.file}: `) + problemText(problem)).join("; ");
  return text.length <= refusalMaxChars ? text : `${text.slice(0, refusalMaxChars - 3)}...`;
}
