// Events, which `kubectl describe` shows at an object: what we did to it, or why we cannot. An Event that cannot be written
// is logged and forgotten; the same news about the same object is told once in ten minutes.
import { type Clock, systemClock } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";
import type { KubeClient } from "./client.ts";
import type { KubeObject } from "./object.ts";
import { apiVersionOf, type KubeResource, kubeResources } from "./resource.ts";

export interface EventRecorder {
  record(resource: KubeResource, object: KubeObject, type: "Normal" | "Warning", reason: string, message: string): void;
}

export interface RecorderOptions {
  readonly client: Pick<KubeClient, "create">;
  readonly component: string;
  readonly instance: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

const repeatMs = 600_000;
const rememberedMax = 10_000;
const messageMaxChars = 1024;

export function createEventRecorder({ client, component, instance, log, signal, clock = systemClock }: RecorderOptions): EventRecorder {
  const told = new Map<string, number>();
  return {
    record(resource, object, type, reason, message) {
      const now = clock.now();
      const key = `${object.metadata.uid ?? ""} ${reason} ${message}`;
      if (now - (told.get(key) ?? Number.NEGATIVE_INFINITY) < repeatMs) return;
      if (told.size >= rememberedMax) told.clear();
      told.set(key, now);
      const namespace = object.metadata.namespace ?? "default";
      const event = {
        metadata: { generateName: `${(object.metadata.name ?? "").slice(0, 200)}.`, namespace },
        involvedObject: {
          apiVersion: apiVersionOf(resource),
          kind: resource.kind,
          namespace,
          name: object.metadata.name,
          uid: object.metadata.uid,
          resourceVersion: object.metadata.resourceVersion,
        },
        type,
        reason,
        message: message.slice(0, messageMaxChars),
        source: { component, host: instance },
        reportingComponent: component,
        reportingInstance: instance,
        firstTimestamp: new Date(now).toISOString().replace(/\.\d+Z$/, "Z"),
        lastTimestamp: new Date(now).toISOString().replace(/\.\d+Z$/, "Z"),
        count: 1,
      };
      client.create(kubeResources.events, namespace, event, signal).catch((error: unknown) => {
        if (!signal.aborted)
          log.debug(`the Event ${reason} of ${namespace}/${object.metadata.name} could not be written: ${messageOf(error)}`);
      });
    },
  };
}
