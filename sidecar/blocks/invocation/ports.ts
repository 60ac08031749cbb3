// What service invocation needs from the rest of the sidecar.
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { ExternalEndpoints, Identity, Mesh, Policies } from "../../contract/ports.ts";

export interface InvocationPorts {
  readonly identity: Identity;
  readonly mesh: Mesh;
  readonly endpoints: ExternalEndpoints;
  readonly policies: Pick<Policies, "app">;
  /** --max-body-size; 0 or less: no limit. For answers that gRPC carries whole. */
  readonly maxBodyBytes: number;
  readonly log: Logger;
}
