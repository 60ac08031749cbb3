// How the text of an annotation becomes a value: one small reader per kind. A reader never throws. Where Dapr takes a bad
// value for "not given", so does the caller and says so (`ignored`); where the pod or its sidecar could not start with it,
// the value is `refused`. https://docs.dapr.io/reference/arguments-annotations-overview/
import { parseDuration } from "../kit/duration.ts";
import { quoted } from "../kit/go-text.ts";

export type AnnotationRead<T> =
  | { readonly value: T; readonly note?: undefined }
  /** `value` is what counts instead; null: the default. */
  | {
      readonly value: T | null;
      readonly note: { readonly effect: "ignored" | "refused"; readonly cause: string; readonly remedy: string };
    };

export type AnnotationReader<T> = (text: string) => AnnotationRead<T>;

const truthy = new Set(["y", "yes", "true", "t", "on", "1"]);
const falsy = new Set(["", "n", "no", "false", "f", "off", "0"]);
const int32Max = 2 ** 31 - 1;

function ignored<T>(cause: string, remedy: string, value: T | null = null): AnnotationRead<T> {
  return { value, note: { effect: "ignored", cause, remedy } };
}

function refused<T>(cause: string, remedy: string): AnnotationRead<T> {
  return { value: null, note: { effect: "refused", cause, remedy } };
}

export const anyText: AnnotationReader<string> = (text) => ({ value: text });

/** An address, or "" to switch the service off; quotes and blanks around it are a template's leftovers. */
export const address: AnnotationReader<string> = (text) => ({ value: text.replace(/^["']+|["']+$/g, "").trim() });

/** Dapr's six spellings of true; everything else is false, and what is not known for that is worth a word. */
export const bool: AnnotationReader<boolean> = (text) => {
  const word = text.trim().toLowerCase();
  if (truthy.has(word)) return { value: true };
  if (falsy.has(word)) return { value: false };
  return ignored(`${shown(text)} is neither true nor false and counts as false`, 'write "true" or "false"', false);
};

/** Whether text is one of the spellings of true. */
export function isEnabled(text: string | undefined): boolean {
  return text !== undefined && truthy.has(text.trim().toLowerCase());
}

/** As `bool`, for the switch itself: whoever wrote something there did not ask for a pod that silently has no sidecar. */
export const strictBool: AnnotationReader<boolean> = (text) => {
  const read = bool(text);
  return read.note === undefined ? read : refused(`${shown(text)} is neither true nor false`, 'write "true" or "false"');
};

export interface WholeLimits {
  /** Outside of these the API server or the sidecar would refuse. */
  readonly min: number;
  readonly max: number;
}

export function whole({ min, max }: WholeLimits): AnnotationReader<number> {
  return (text) => {
    if (!/^[+-]?\d{1,18}$/.test(text)) return ignored(`${shown(text)} is not a whole number and is ignored`, "write a number in quotes");
    const value = Number(text);
    if (value < min || value > max) return refused(`${value} is out of range`, `write a number from ${min} to ${max}`);
    return { value };
  };
}

export const port = whole({ min: 1, max: 65_535 });
export const integer = whole({ min: -int32Max, max: int32Max });
export const count = whole({ min: 0, max: int32Max });

export function oneOf(words: readonly string[], fallback: string): AnnotationReader<string> {
  return (text) => {
    const word = text.trim();
    if (word === "") return { value: fallback };
    const found = words.find((known) => known.toLowerCase() === word.toLowerCase());
    if (found !== undefined) return { value: found };
    return refused(`${shown(text)} is not a known value`, `write one of ${words.join(", ")}`);
  };
}

/** The text, once it is known to be a Go duration. */
export const duration: AnnotationReader<string> = (text) =>
  parseDuration(text) === undefined ? refused(`${shown(text)} is not a duration`, 'write one such as "30s" or "1m30s"') : { value: text };

const quantityShape = /^[+]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})?$/;

/** A Kubernetes quantity for the container's resources. */
export const resourceQuantity: AnnotationReader<string> = (text) => {
  if (text === "" || (text.length <= 64 && quantityShape.test(text))) return { value: text };
  return ignored(`${shown(text)} is not a quantity and is ignored`, 'write one such as "100m" or "128Mi"');
};

/** A quantity that the sidecar itself reads at its start. */
export const sizeQuantity: AnnotationReader<string> = (text) => {
  if (text === "" || (text.length <= 64 && quantityShape.test(text))) return { value: text };
  return refused(`${shown(text)} is not a size`, 'write one such as "4Mi"');
};

const objectName = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Name of a Secret, or empty. */
export const secretName: AnnotationReader<string> = (text) => {
  if (text === "" || objectName.test(text)) return { value: text };
  return refused(`${shown(text)} cannot be the name of a Secret`, "write the name alone: small letters, digits, - and .");
};

/** A reference to an image, or empty for the injector's. */
export const image: AnnotationReader<string> = (text) => {
  const name = text.trim();
  if (name.length <= 4096 && /^[A-Za-z0-9./:@_[\]-]*$/.test(name)) return { value: name };
  return refused(`${shown(text)} cannot be an image`, "write registry/name:tag or registry/name@digest");
};

export const appId: AnnotationReader<string> = (text) => {
  const problem = text === "" ? null : appIdProblem(text);
  return problem === null ? { value: text } : refused(problem, 'write small letters, digits and -, e.g. "my-app"');
};

const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const serviceNameMaxChars = 63;

/** What is wrong with an app id in Kubernetes, where `<id>-dapr` is the name of its Service; null when nothing is. */
export function appIdProblem(id: string): string | null {
  if (id === "") return "value for the dapr.io/app-id annotation is empty";
  const service = `${id}-dapr`;
  const causes = [
    ...(service.length > serviceNameMaxChars ? [`must be no more than ${serviceNameMaxChars} characters`] : []),
    ...(dnsLabel.test(service)
      ? []
      : [
          "a DNS-1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        ]),
  ];
  return causes.length === 0 ? null : `invalid app id (input: '${clipped(id)}', service: '${clipped(service)}'): ${causes.join("; ")}`;
}

/** Values of pods are no secrets, but may be of any length. */
export function shown(text: string): string {
  return quoted(clipped(text));
}

function clipped(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
