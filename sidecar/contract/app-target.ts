// How callers name an app.

/** `app` or `app.namespace`. Throws on anything else. */
export function parseTarget(target: string, ownNamespace: string): { readonly appId: string; readonly namespace: string } {
  if (target === "") throw new Error("app id is empty");
  const dot = target.indexOf(".");
  if (dot < 0) return { appId: target, namespace: ownNamespace };
  if (target.includes(".", dot + 1)) throw new Error(`invalid app id ${target}`);
  return { appId: target.slice(0, dot), namespace: target.slice(dot + 1) };
}
