// The definitions that Outrigger brings.
import { daprResources } from "../../lib/kube/resource.ts";

/** `components.dapr.io` … */
export const crdNames: readonly string[] = [...new Set(Object.values(daprResources).map(({ plural, group }) => `${plural}.${group}`))];
