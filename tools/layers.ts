// The layers of design.md §2 as data: a folder imports only from folders of a strictly smaller layer, besides itself.
// The longest matching prefix decides. Folders of the same layer never import each other.

export const layers: Readonly<Record<string, number>> = {
  "lib/kit": 0,
  "lib/proto": 0,
  "lib/resources": 1,
  "lib/telemetry": 1,
  "lib/wire": 2,
  "lib/security": 3,
  "lib/kube": 4,
  // What every kind of driver stands on: metadata, then lifecycle.
  "components/metadata.ts": 3,
  "components/driver.ts": 4,
  "components/shared": 5,
  "components/state": 6,
  "components/pubsub": 6,
  "components/secrets": 6,
  "components/nameresolution": 6,
  "components/configuration": 6,
  "components/lock": 6,
  "components/registry.ts": 7,
  "sidecar/contract": 7,
  "sidecar/blocks/health": 8,
  "sidecar/blocks/invocation": 8,
  "sidecar/blocks/metadata": 8,
  "sidecar/blocks/pubsub": 8,
  "sidecar/blocks/secrets": 8,
  "sidecar/blocks/shutdown": 8,
  "sidecar/blocks/state": 8,
  "sidecar/access-control": 8,
  "sidecar/app": 8,
  "sidecar/mesh": 8,
  "sidecar/proxy": 8,
  "sidecar/loader": 8,
  "sidecar/resiliency": 8,
  "sidecar/edge": 9,
  sidecar: 10,
  "sidecar/main.ts": 11,
  "sentry/jwt": 7,
  "sentry/kubernetes": 7,
  "sentry/validators": 8,
  "sentry/store": 8,
  "sentry/oidc": 8,
  sentry: 10,
  "sentry/main.ts": 11,
  "operator/api": 8,
  "operator/reconcile": 8,
  "operator/webhook": 8,
  operator: 10,
  "operator/main.ts": 11,
  injector: 10,
  "injector/main.ts": 11,
  cli: 12,
  test: 13,
  bench: 13,
  examples: 13,
  images: 13,
  e2e: 14,
  tools: 14,
};

/** The layer's folder (a key of `layers`) that `file` belongs to, or null. */
export function roomOf(file: string): string | null {
  let best: string | null = null;
  for (const room of Object.keys(layers)) {
    const inside = file === room || file.startsWith(room.endsWith(".ts") ? room : `${room}/`) || file.startsWith(`${room}.`);
    if (inside && (best === null || room.length > best.length)) best = room;
  }
  return best;
}
