// What the secrets block needs from the rest of the sidecar.
import type { SecretStore } from "../../../components/secrets/store.ts";
import type { SecretScope } from "../../../lib/resources/configuration.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { ComponentTable, Policies } from "../../contract/ports.ts";

export interface SecretsPorts {
  readonly stores: ComponentTable<SecretStore>;
  /** `spec.secrets.scopes` of the Configuration, one per store. */
  readonly scopes: readonly SecretScope[];
  readonly policies: Policies;
  readonly log: Logger;
}
