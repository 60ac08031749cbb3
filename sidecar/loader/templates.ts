// Templates in component metadata: {uuid} (a new one each time), {podName}, {namespace} (namespace and app id) and {appID}.
import type { LoaderIdentity } from "./ports.ts";

/** Throws when {podName} is used and the pod's name is not known. */
export function applyTemplates(name: string, text: string, identity: LoaderIdentity, uuid: () => string): string {
  if (!text.includes("{")) return text;
  let value = text.replaceAll("{uuid}", () => uuid());
  if (value.includes("{podName}")) {
    if (identity.podName === "") throw new Error(`failed to parse metadata: property ${name} refers to {podName} but podName is not set`);
    value = value.replaceAll("{podName}", () => identity.podName);
  }
  const { appId, namespace } = identity;
  return value.replaceAll("{namespace}", () => `${namespace}.${appId}`).replaceAll("{appID}", () => appId);
}
