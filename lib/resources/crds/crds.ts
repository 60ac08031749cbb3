// All CRDs of this version. crds/*.yaml is made of them by tools/gen-crds.ts, the operator applies them, and a chart ships them.
import { componentCrd } from "./component.ts";
import { configurationCrd } from "./configuration.ts";
import type { CrdSource } from "./definition.ts";
import { httpEndpointCrd } from "./http-endpoint.ts";
import { mcpServerCrd } from "./mcp-server.ts";
import { resiliencyCrd } from "./resiliency.ts";
import { subscriptionCrd } from "./subscription.ts";
import { workflowAccessPolicyCrd } from "./workflow-access-policy.ts";

export const crdSources: readonly CrdSource[] = Object.freeze([
  componentCrd,
  configurationCrd,
  httpEndpointCrd,
  mcpServerCrd,
  resiliencyCrd,
  subscriptionCrd,
  workflowAccessPolicyCrd,
]);
