// Settings that protect something and whose part of the sidecar does not exist yet. Starting without them would fail
// open (lessons.md, 6), so the sidecar does not start and says why.
import type { Configuration } from "../lib/resources/configuration.ts";

/** Every reason not to start; empty: none. */
export function refusals(configuration: Configuration): readonly string[] {
  const found: string[] = [];
  const { httpPipeline, appHttpPipeline } = configuration;
  if (httpPipeline.length > 0) found.push("spec.httpPipeline: HTTP middleware is not available in this release and would be skipped");
  if (appHttpPipeline.length > 0) found.push("spec.appHttpPipeline: HTTP middleware is not available in this release and would be skipped");
  return found;
}
