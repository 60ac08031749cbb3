// The sixteen methods of dapr.proto.operator.v1.Operator. A list answers what stands, a stream what changes from its first
// moment on; a sidecar opens the stream and lists after that, so it misses nothing in between.

import type { DescMessage } from "@bufbuild/protobuf";
import { create, type DescMethodServerStreaming, type DescMethodUnary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { GrpcCode, messageOf } from "../../lib/kit/errors.ts";
import type { KubeObject } from "../../lib/kube/object.ts";
import {
  GetConfigurationResponseSchema,
  GetResiliencyResponseSchema,
  Operator,
  ResourceEventType,
} from "../../lib/proto/gen/dapr/proto/operator/v1/operator_pb.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { type GrpcCall, type GrpcMethod, GrpcStatusError, serverStreaming, unary } from "../../lib/wire/grpc/types.ts";
import { assignedConfiguration } from "./assigned-configuration.ts";
import { type Caller, callerIn } from "./caller.ts";
import { type Catalogue, type Kind, kinds } from "./catalogue.ts";
import type { Change } from "./changes.ts";
import type { Renderer } from "./render.ts";

export interface MethodOptions {
  readonly catalogue: Catalogue;
  readonly renderer: Renderer;
  /** Of which `slimPod` keeps something. Throws UNAVAILABLE as long as they are not known. */
  readonly pods: () => Iterable<KubeObject>;
  readonly log: Logger;
  /** Aborted before the catalogue is closed, which ends all streams. */
  readonly stop: AbortSignal;
}

const method = Operator.method;
const eventTypes: Readonly<Record<Change["type"], ResourceEventType>> = {
  created: ResourceEventType.CREATED,
  updated: ResourceEventType.UPDATED,
  deleted: ResourceEventType.DELETED,
};

export function createOperatorMethods(options: MethodOptions): readonly GrpcMethod[] {
  const lists = listing(options);
  const streams = streaming(options);
  return [
    lists(method.listComponents, "components", (components) => ({ components })),
    lists(method.listSubscriptionsV2, "subscriptions", (subscriptions) => ({ subscriptions })),
    lists(method.listResiliency, "resiliencies", (resiliencies) => ({ resiliencies })),
    lists(method.listHTTPEndpoints, "httpEndpoints", (httpEndpoints) => ({ httpEndpoints })),
    lists(method.listMCPServers, "mcpServers", (mcpServers) => ({ mcpServers })),
    lists(method.listWorkflowAccessPolicy, "workflowAccessPolicies", (policies) => ({ policies })),
    streams(method.componentUpdate, "components", (component, type) => ({ component, type })),
    streams(method.subscriptionUpdate, "subscriptions", (subscription, type) => ({ subscription, type })),
    streams(method.resiliencyUpdate, "resiliencies", (resiliency, type) => ({ resiliency, type })),
    streams(method.hTTPEndpointUpdate, "httpEndpoints", (httpEndpoints, type) => ({ httpEndpoints, type })),
    streams(method.mCPServerUpdate, "mcpServers", (mcpServer, type) => ({ mcpServer, type })),
    streams(method.workflowAccessPolicyUpdate, "workflowAccessPolicies", (policy, type) => ({ policy, type })),
    streams(method.configurationUpdate, "configurations", (configuration, type) => ({ configuration, type }), onlyAssigned(options)),
    ...getting(options),
    // It names no namespace, which is nobody's: refused, as by Dapr's operator.
    unary(method.listSubscriptions, null, (_request, call) => {
      callerIn("", call);
      throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, "use ListSubscriptionsV2");
    }),
  ];
}

type InNamespace = { readonly namespace: string };

function listing({ catalogue, renderer }: MethodOptions) {
  return <I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    kind: Kind,
    response: (resources: Uint8Array[]) => MessageInitShape<O>,
  ): GrpcMethod =>
    unary(desc, null, async (request, call) => {
      const caller = callerIn((request as unknown as InNamespace).namespace, call);
      const render = (object: KubeObject) => renderer.render(object, kinds[kind].secrets).catch(unavailable);
      return create(desc.output, response(await Promise.all(catalogue.list(kind, caller).map(render))));
    });
}

function getting({ catalogue, renderer }: MethodOptions): readonly GrpcMethod[] {
  const get = async (kind: Kind, what: string, { namespace, name }: { namespace: string; name: string }, call: GrpcCall) => {
    const object = catalogue.get(kind, callerIn(namespace, call), name);
    if (object !== null) return renderer.render(object, kinds[kind].secrets).catch(unavailable);
    const { plural, group } = kinds[kind].resource;
    throw new GrpcStatusError(GrpcCode.NOT_FOUND, `error getting ${what}: ${plural}.${group} ${JSON.stringify(name)} not found`);
  };
  return [
    unary(method.getConfiguration, null, async (request, call) => {
      const what = `configuration ${request.namespace}/${request.name}`;
      return create(GetConfigurationResponseSchema, { configuration: await get("configurations", what, request, call) });
    }),
    unary(method.getResiliency, null, async (request, call) => {
      return create(GetResiliencyResponseSchema, { resiliency: await get("resiliencies", "resiliency", request, call) });
    }),
  ];
}

type Wants = (caller: Caller) => (change: Change) => boolean;

function streaming({ catalogue, renderer, log, stop }: MethodOptions) {
  return <I extends DescMessage, O extends DescMessage>(
    desc: DescMethodServerStreaming<I, O>,
    kind: Kind,
    event: (resource: Uint8Array, type: ResourceEventType) => MessageInitShape<O>,
    wants: Wants = () => () => true,
  ): GrpcMethod =>
    serverStreaming(desc, null, async function* (request, call): AsyncGenerator<MessageShape<O>> {
      const caller = callerIn((request as unknown as InNamespace).namespace, call);
      log.debug(`sidecar of ${caller.namespace}/${caller.appId} connected for updates of ${kinds[kind].resource.plural}`);
      for await (const { object, type } of catalogue.follow(kind, caller, wants(caller), call.signal)) {
        yield create(desc.output, event(await rendered(renderer, kind, object, type), eventTypes[type]));
      }
      if (stop.aborted) throw new GrpcStatusError(GrpcCode.UNAVAILABLE, "operator is shutting down");
    });
}

/** A secret that cannot be read just now ends the stream: the sidecar comes again and lists. */
function rendered(renderer: Renderer, kind: Kind, object: KubeObject, type: Change["type"]): Promise<Buffer> {
  // What is gone needs no secrets, and may have none any more.
  if (type === "deleted") return Promise.resolve(renderer.renderPlain(object));
  return renderer.renderChange(object, kinds[kind].secrets).catch(unavailable);
}

function unavailable(error: unknown): never {
  throw new GrpcStatusError(GrpcCode.UNAVAILABLE, messageOf(error));
}

function onlyAssigned({ pods, log }: MethodOptions): Wants {
  return (caller) => {
    const assigned = assignedConfiguration(pods(), caller);
    if (assigned === null) log.debug(`no pod of ${caller.namespace}/${caller.appId} names a Configuration: it gets no updates of any`);
    return ({ object }) => object.metadata.name === assigned;
  };
}
