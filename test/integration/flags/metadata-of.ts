// What a sidecar tells of itself.
import type { Daprd } from "../../harness/daprd.ts";

export interface Component {
  readonly name: string;
  readonly type: string;
}

export interface SidecarMetadata {
  readonly id: string;
  readonly components: readonly Component[];
}

export async function metadataOf(sidecar: Daprd): Promise<SidecarMetadata> {
  const metadata = (await (await sidecar.fetch("/v1.0/metadata")).json()) as { id: string; components?: readonly Component[] };
  return { id: metadata.id, components: metadata.components ?? [] };
}
