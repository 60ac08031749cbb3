// Resources from the operator: listed at the start, then watched, one stream per kind. A stream that breaks is opened again
// for as long as the sidecar runs, and its kind listed anew, so that nothing that happened meanwhile is missed.
import { type Clock, sleep } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Component } from "../../../lib/resources/component.ts";
import type { Configuration } from "../../../lib/resources/configuration.ts";
import { defaultConfiguration } from "../../../lib/resources/configuration-parser.ts";
import type { HttpEndpoint } from "../../../lib/resources/http-endpoint.ts";
import { type Problem, problemText } from "../../../lib/resources/problem.ts";
import type { Resiliency } from "../../../lib/resources/resiliency.ts";
import type { ResourceMetadata } from "../../../lib/resources/resource.ts";
import type { Subscription } from "../../../lib/resources/subscription.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { type GrpcChannel, GrpcCode, GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import { LoadError } from "../load-configuration.ts";
import { concerns, type ResourceScope, type Resources } from "../load-resources.ts";
import type { Change, Listing, ResourceFeed, ResourceKind } from "../reload/feed.ts";
import {
  configurationCalls,
  decodeResource,
  type KindCalls,
  kindCalls,
  type RawEvent,
  readConfiguration,
  type Subject,
} from "./operator-calls.ts";

export interface OperatorFeedOptions extends ResourceScope {
  readonly connect: () => GrpcChannel;
  /** Name of the Configuration; empty: none. */
  readonly configuration: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** From 0 to 1. */
  readonly random: () => number;
}

type OnChange = (change: Change | Listing) => void;

interface KindListing {
  readonly resources: readonly ResourceMetadata[];
  readonly complete: boolean;
}

/** For one answer of the operator. */
const answerTimeoutMs = 5_000;
const retryFirstMs = 500;
const retryMaxMs = 10_000;

export class OperatorFeed implements ResourceFeed {
  readonly #options: OperatorFeedOptions;
  readonly #subject: Subject;
  readonly #log: Logger;
  #channel: GrpcChannel;
  /** Ends the streams of a connection that is given up. */
  #connection = new AbortController();

  constructor(options: OperatorFeedOptions) {
    this.#options = options;
    this.#subject = { namespace: options.namespace, configuration: options.configuration };
    this.#log = options.log.scope("dapr.runtime.hotreload.loader.operator");
    this.#channel = options.connect();
  }

  /** Waits for the operator. Rejects with LoadError when there is no such Configuration, or a wrong one. */
  async configuration(signal: AbortSignal): Promise<Configuration> {
    const name = this.#options.configuration;
    if (name === "") return defaultConfiguration();
    const [bytes] = await this.#untilAnswered(configurationCalls, signal).catch((error) => {
      throw error instanceof GrpcStatusError ? configurationError(error.message) : error;
    });
    if (bytes === undefined) throw configurationError(`configuration ${name} not found`);
    const decoded = decodeResource(bytes);
    if ("cause" in decoded) throw configurationError(decoded.cause);
    const { resource, problems } = readConfiguration(decoded.value);
    for (const problem of problems) {
      if (problem.severity === "warning") this.#options.log.warn(`configuration ${name}: ${problemText(problem)}`);
    }
    if (resource === null) throw configurationError(problems.map(problemText).join("\n"));
    return resource;
  }

  /** Waits for the operator. Rejects with LoadError when it refuses to list components or subscriptions. */
  async load(signal: AbortSignal): Promise<Resources> {
    const read = async <T>(kind: ResourceKind) => this.#read(callsOf(kind), await this.#initial(kind, signal)).resources as readonly T[];
    return Object.freeze({
      components: await read<Component>("Component"),
      subscriptions: await read<Subscription>("Subscription"),
      httpEndpoints: await read<HttpEndpoint>("HTTPEndpoint"),
      resiliencies: await read<Resiliency>("Resiliency"),
      configurations: [],
      problems: [],
    });
  }

  async list(signal: AbortSignal): Promise<Listing> {
    const kinds: Partial<Record<ResourceKind, readonly ResourceMetadata[]>> = {};
    let complete = true;
    for (const calls of kindCalls) {
      try {
        const listed = this.#read(calls, await this.#list(calls, signal));
        kinds[calls.kind] = listed.resources;
        complete &&= listed.complete;
      } catch (error) {
        // A kind that the operator refuses keeps no other from being listed.
        if (!(error instanceof GrpcStatusError) || passing.has(error.code)) throw error;
        this.#log.debug(`${calls.kind} resources could not be listed: ${error.message}`);
      }
    }
    return { ...kinds, complete } as unknown as Listing;
  }

  async watch(onChange: OnChange, _onFatal: (error: unknown) => void, signal: AbortSignal): Promise<void> {
    for (const calls of kindCalls) void this.#follow(calls, onChange, signal);
  }

  /** Once nothing is watched any more. */
  async close(): Promise<void> {
    this.#connection.abort(new Error("the connection to the operator is closed"));
    await this.#channel.close();
  }

  async #initial(kind: ResourceKind, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    try {
      return await this.#untilAnswered(callsOf(kind), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const reason = `failed to load ${kind} resources from the operator: ${messageOf(error)}`;
      if (kind === "Component" || kind === "Subscription") throw new LoadError(reason, { cause: error });
      this.#options.log.warn(reason);
      return [];
    }
  }

  /** Says once what it waits for, and once more when the reason is another. */
  async #untilAnswered(calls: KindCalls, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    let said = "";
    for (let failures = 0; ; failures++) {
      try {
        return await this.#list(calls, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof GrpcStatusError) || !passing.has(error.code)) throw error;
        if (said !== error.message)
          this.#log.warn(`Waiting for the operator, which did not answer for ${calls.kind} resources: ${error.message}`);
        said = error.message;
      }
      await sleep(this.#options.clock, this.#delayMs(failures), signal);
    }
  }

  async #list(calls: KindCalls, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    try {
      return await calls.list(this.#channel, this.#subject, { timeoutMs: answerTimeoutMs, signal });
    } catch (error) {
      if (error instanceof GrpcStatusError) {
        if (error.code === GrpcCode.UNIMPLEMENTED && calls.kind !== "Component") return [];
        // What an older gRPC server says that has nothing to answer.
        if (error.message.endsWith("Marshal called with nil")) return [];
        if (error.code === GrpcCode.DEADLINE_EXCEEDED) this.#reconnect();
      }
      throw error;
    }
  }

  /** A peer that is gone without a word answers nothing, on no stream. */
  #reconnect(): void {
    const silent = this.#channel;
    this.#channel = this.#options.connect();
    this.#connection.abort(new Error("the operator did not answer in time"));
    this.#connection = new AbortController();
    silent.close().catch(() => {});
  }

  /** Never rejects. */
  async #follow(calls: KindCalls, onChange: OnChange, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (let failures = 0; !signal.aborted; ) {
      const counted = { events: 0 };
      try {
        const stream = calls.watch(this.#channel, this.#subject, AbortSignal.any([signal, this.#connection.signal]));
        if (failures > 0) void this.#catchUp(calls, counted, onChange, signal);
        for await (const event of stream) {
          failures = 0;
          counted.events++;
          this.#take(calls, event, onChange);
        }
        throw new Error("the operator has ended the stream");
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof GrpcStatusError && error.code === GrpcCode.UNIMPLEMENTED) {
          const { kind } = calls;
          this.#log.warn(`${kind} HotReloading is not supported by the Dapr control plane. ${kind} updates will not be Hot Reloaded.`);
          return;
        }
        // One line per outage, not one per try.
        this.#log[failures === 0 ? "error" : "debug"](`Error from operator stream: ${messageOf(error)}`);
      }
      await sleep(clock, this.#delayMs(failures++), signal).catch(() => {});
    }
  }

  /** Lists a kind after its stream was open again; once more if changes came meanwhile, which may be newer than the list. */
  async #catchUp(calls: KindCalls, counted: { readonly events: number }, onChange: OnChange, signal: AbortSignal): Promise<void> {
    try {
      for (let again = 0; again < catchUpMax; again++) {
        const before = counted.events;
        const { resources, complete } = this.#read(calls, await this.#list(calls, signal));
        if (again === 0) this.#log.info("Reconnected to operator");
        if (counted.events !== before && again < catchUpMax - 1) continue;
        return onChange({ [calls.kind]: resources, complete } as unknown as Listing);
      }
    } catch (error) {
      // The stream will have failed as well, and is opened again.
      this.#log.debug(`${calls.kind} resources could not be listed: ${messageOf(error)}`);
    }
  }

  #take(calls: KindCalls, { bytes, type }: RawEvent, onChange: OnChange): void {
    if (type === null) return;
    const resource = this.#parse(calls, bytes);
    if (resource === null) return;
    const { kind } = calls;
    const { name } = resource;
    if (kind === "Configuration" && name !== this.#options.configuration) return;
    // One that is not for this app any more is gone as far as it is concerned.
    const gone = type === "DELETED" || !concerns(resource, this.#options);
    onChange({ kind, type: gone ? "DELETED" : type, name, resource } as unknown as Change);
  }

  #read(calls: KindCalls, listed: readonly Uint8Array[]): KindListing {
    const parsed = listed.map((bytes) => this.#parse(calls, bytes));
    const resources = parsed.filter((resource) => resource !== null);
    return { resources: resources.filter((resource) => concerns(resource, this.#options)), complete: resources.length === parsed.length };
  }

  /** Null, and a line in the log, for what cannot be read. */
  #parse(calls: KindCalls, bytes: Uint8Array): ResourceMetadata | null {
    const decoded = decodeResource(bytes);
    if ("cause" in decoded) {
      this.#log.warn(`${calls.kind} from the operator is left out: ${decoded.cause}`);
      return null;
    }
    const { resource, problems } = calls.parse(decoded.value);
    const name = resource?.name ?? nameOf(decoded.value);
    for (const problem of problems) this.#report(`${calls.kind} ${name}`, problem);
    return resource;
  }

  #report(subject: string, problem: Problem): void {
    const left = problem.severity === "error" ? " is left out" : "";
    this.#log.warn(`${subject} from the operator${left}: ${problemText(problem)}`);
  }

  #delayMs(failures: number): number {
    const spread = 0.5 + this.#options.random();
    return Math.min(retryMaxMs, retryFirstMs * 1.5 ** Math.min(failures, 20)) * spread;
  }
}

const catchUpMax = 3;

/** Statuses that another try may mend. */
const passing: ReadonlySet<GrpcCode> = new Set([
  GrpcCode.UNAVAILABLE,
  GrpcCode.DEADLINE_EXCEEDED,
  GrpcCode.RESOURCE_EXHAUSTED,
  GrpcCode.ABORTED,
]);

function callsOf(kind: ResourceKind): KindCalls {
  return kindCalls.find((calls) => calls.kind === kind) as KindCalls;
}

function nameOf(value: unknown): string {
  const name = (value as { readonly metadata?: { readonly name?: unknown } } | null)?.metadata?.name;
  return typeof name === "string" ? name : "without a name";
}

function configurationError(cause: string): LoadError {
  return new LoadError(`error loading configuration: ${cause}`);
}
