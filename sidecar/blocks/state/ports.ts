// What the state block needs from the rest of the sidecar.
import type { StateStore } from "../../../components/state/store.ts";
import type { ComponentTable, Policies } from "../../contract/ports.ts";

export interface StatePorts {
  readonly stores: ComponentTable<StateStore>;
  readonly policies: Policies;
  readonly appId: string;
  /** NAMESPACE as it was given, for keyPrefix `namespace`; empty when it was not. */
  readonly keyNamespace: string;
}
