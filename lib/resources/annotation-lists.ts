// The annotations that hold lists: environment variables, references to Secrets, volume mounts, key=value pairs, names.
// An item that cannot be understood is left out and named, as Dapr leaves it out silently.
import { type AnnotationRead, type AnnotationReader, shown } from "./annotation-readers.ts";

export interface EnvItem {
  readonly name: string;
  readonly value: string;
}

export interface SecretEnvItem {
  readonly name: string;
  readonly secret: string;
  readonly key: string;
}

export interface MountItem {
  readonly volume: string;
  readonly path: string;
}

/** What the control plane sets in the sidecar: a pod that changed these would only lose its identity. */
const reserved = new Set(["NAMESPACE", "POD_NAME", "DAPR_TRUST_ANCHORS", "DAPR_CONTROLPLANE_NAMESPACE", "DAPR_CONTROLPLANE_TRUST_DOMAIN"]);

/** `A=1,B=2`: a comma belongs to the value unless the name of another variable follows. */
function pairs(text: string): { readonly found: (readonly [string, string])[]; readonly bad: string[] } {
  const found: (readonly [string, string])[] = [];
  const bad: string[] = [];
  for (const part of text.split(/,(?=\s*[a-zA-Z_][a-zA-Z0-9_]*=)/)) {
    const item = part.trim();
    const at = item.indexOf("=");
    if (at > 0 && !reserved.has(item.slice(0, at))) found.push([item.slice(0, at), item.slice(at + 1)]);
    else if (item !== "") bad.push(at > 0 ? item.slice(0, at) : item);
  }
  return { found, bad };
}

function partly<T>(value: T, bad: readonly string[], remedy: string): AnnotationRead<T> {
  if (bad.length === 0) return { value };
  return { value, note: { effect: "ignored", cause: `${bad.map(shown).join(", ")} is not understood and is left out`, remedy } };
}

export const envList: AnnotationReader<readonly EnvItem[]> = (text) => {
  const { found, bad } = pairs(text);
  const items = found.map(([name, value]) => ({ name, value }));
  return partly(items, bad, 'write "NAME=value,OTHER=value"; names that the control plane sets cannot be changed');
};

export const secretEnvList: AnnotationReader<readonly SecretEnvItem[]> = (text) => {
  const { found, bad } = pairs(text);
  const items: SecretEnvItem[] = [];
  for (const [name, source] of found) {
    const parts = source.split(":").map((part) => part.trim());
    const [secret = "", key = secret] = parts;
    if (parts.length <= 2 && secret !== "" && key !== "") items.push({ name, secret, key });
    else bad.push(name);
  }
  return partly(items, bad, 'write "NAME=secret:key,OTHER=secret"');
};

export const mountList: AnnotationReader<readonly MountItem[]> = (text) => {
  const items: MountItem[] = [];
  const bad: string[] = [];
  for (const part of text.split(",")) {
    const [volume = "", path = "", ...more] = part.trim().split(":");
    if (volume !== "" && path !== "" && more.length === 0) items.push({ volume, path });
    else if (part.trim() !== "") bad.push(part.trim());
  }
  return partly(items, bad, 'write "volume:/path,other:/path"');
};

/** Annotations for the Service of the app. */
export const keyValueList: AnnotationReader<ReadonlyMap<string, string>> = (text) => {
  const items = new Map<string, string>();
  const bad: string[] = [];
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    if (at > 0) items.set(part.slice(0, at).trim(), part.slice(at + 1).trim());
    else if (part.trim() !== "") bad.push(part.trim());
  }
  return partly(items, bad, 'write "key=value,other=value"');
};

export const nameList: AnnotationReader<readonly string[]> = (text) => ({
  value: text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== ""),
});
