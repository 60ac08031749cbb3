// What every lookup answers while no Resiliency resource is loaded: no policy, so the plain path costs nothing.
import type { Policies } from "../contract/ports.ts";

export const noPolicies: Policies = Object.freeze({
  outbound: () => null,
  inbound: () => null,
  app: () => null,
});
