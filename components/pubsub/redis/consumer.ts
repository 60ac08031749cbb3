// One subscription of pubsub.redis: fetches new entries and takes over pending ones, hands them to the handler in the order they came, and
// acknowledges what it accepts. What it refuses stays pending and is taken over, here or elsewhere, once idle for processingTimeout.
// Invariants:
//  1. An entry that waits here or is being handled does not grow idle: nobody else takes it over as long as this process lives.
//  2. A handler that takes longer than processingTimeout is told to end, and the entry may be taken over at once.
//  3. After stop() nothing is held: what was handled is acknowledged, what was not may be taken over at once.
import { type Clock, sleep, type Timer } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { isConnectionError, isReplyError } from "../../shared/redis-errors.ts";
import type { BrokerSubscription, MessageHandler } from "../broker.ts";
import type { Lane, Lanes } from "./lanes.ts";
import type { Reader } from "./reader.ts";
import type { ConsumerSettings } from "./settings.ts";
import { type Entry, idAfter, type Stream } from "./stream.ts";

export interface ConsumerOptions {
  readonly stream: Stream;
  readonly reader: Reader;
  readonly lanes: Lanes;
  readonly settings: ConsumerSettings;
  readonly handler: MessageHandler;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborts when the driver is closed without waiting. */
  readonly signal: AbortSignal;
}

interface Held {
  readonly entry: Entry;
  /** Ends the handler; made when it starts. */
  abort: AbortController | null;
  /** Its handler has had its time; another may have the entry by now. */
  late: boolean;
}

const never = new AbortController().signal;
const firstId = "-";
/** Entries looked at in one XPENDING. */
const pendingPageEntries = 100;
const failurePauseMaxMs = 5000;

export class Consumer implements BrokerSubscription, Lane {
  readonly #options: ConsumerOptions;
  readonly #redelivers: boolean;
  readonly #stopping = new AbortController();
  #waiting: Held[] = [];
  /** Everything fetched and not settled, by id. */
  readonly #held = new Map<string, Held>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #wantRoom: (() => void)[] = [];
  #renewal: Timer | null = null;
  #stopped: Promise<void> | null = null;
  #loops: Promise<unknown> = Promise.resolve();

  constructor(options: ConsumerOptions) {
    this.#options = options;
    const { processingTimeoutMs, redeliverIntervalMs } = options.settings;
    this.#redelivers = processingTimeoutMs > 0 && redeliverIntervalMs > 0;
  }

  start(): void {
    this.#options.lanes.add(this);
    this.#loops = Promise.all([this.#readLoop(), this.#redelivers ? this.#takeOverLoop() : null]);
    if (this.#redelivers) this.#renewLater();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** The driver is closed without waiting: handlers are told to end. */
  abort(reason: unknown): void {
    for (const { abort } of this.#held.values()) abort?.abort(reason);
  }

  startNext(): boolean {
    if (this.#stopping.signal.aborted) return false;
    const held = this.#waiting.shift();
    if (held === undefined) return false;
    if (this.#hasRoom()) this.#wakeLoops();
    this.#run(this.#handle(held));
    return true;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort(new Error("the subscription is stopped"));
    this.#wakeLoops();
    await this.#options.reader.close(this.#loops);
    const unhandled = this.#waiting.map(({ entry }) => entry.id);
    this.#waiting = [];
    await this.#giveBack(unhandled);
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    this.#options.lanes.remove(this);
    this.#renewal?.cancel();
  }

  async #readLoop(): Promise<void> {
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#room();
        if (this.#stopping.signal.aborted) return;
        const count = Math.max(1, this.#options.settings.queueDepth - this.#waiting.length);
        this.#take(await this.#options.reader.read(count));
        failures = 0;
      } catch (error) {
        await this.#recover(error, failures++);
      }
    }
  }

  async #takeOverLoop(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#takeOver();
      } catch (error) {
        if (!this.#stopping.signal.aborted) {
          this.#options.log.warn(`redis streams: error taking over pending messages of ${this.#topic}: ${messageOf(error)}`);
        }
      }
      await sleep(this.#options.clock, this.#options.settings.redeliverIntervalMs, this.#stopping.signal).catch(() => {});
    }
  }

  async #takeOver(): Promise<void> {
    const { settings, stream } = this.#options;
    const { signal } = this.#stopping;
    for (let start = firstId; !signal.aborted; ) {
      const page = await stream.pending(start, pendingPageEntries, signal);
      const last = page.at(-1);
      const idle = page.filter(({ id, idleMs }) => idleMs >= settings.processingTimeoutMs && !this.#held.has(id)).map(({ id }) => id);
      if (idle.length > 0) {
        await this.#room();
        if (signal.aborted) return;
        const claimed = await stream.claim(idle, settings.processingTimeoutMs, never);
        this.#take(claimed);
        if (claimed.length < idle.length) await this.#forgetDeleted(idle, claimed);
      }
      if (last === undefined || page.length < pendingPageEntries) return;
      start = idAfter(last.id);
    }
  }

  /** Entries that were trimmed while pending would be looked at for ever (Redis 7 forgets them by itself). */
  async #forgetDeleted(ids: readonly string[], claimed: readonly Entry[]): Promise<void> {
    const found = new Set(claimed.map(({ id }) => id));
    for (const id of ids) {
      if (found.has(id) || (await this.#options.stream.holds(id, this.#stopping.signal))) continue;
      await this.#options.stream.acknowledge(id, this.#stopping.signal);
    }
  }

  #take(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (this.#held.has(entry.id)) continue;
      const held: Held = { entry, abort: null, late: false };
      this.#held.set(entry.id, held);
      this.#waiting.push(held);
    }
    if (entries.length > 0) this.#options.lanes.offer();
  }

  /** Resolves once half of the queue is free, so that entries are fetched in gulps; or at once when stopping. */
  async #room(): Promise<void> {
    while (!this.#hasRoom() && !this.#stopping.signal.aborted) await new Promise<void>((resolve) => this.#wantRoom.push(resolve));
  }

  #hasRoom(): boolean {
    return this.#waiting.length <= this.#options.settings.queueDepth / 2;
  }

  #wakeLoops(): void {
    for (const wake of this.#wantRoom.splice(0)) wake();
  }

  #run(task: Promise<void>): void {
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }

  /** Never rejects. */
  async #handle(held: Held): Promise<void> {
    const { id } = held.entry;
    const failure = await this.#deliver(held);
    this.#options.lanes.leave();
    try {
      if (failure === null) await this.#options.stream.acknowledge(id, never);
      else if (this.#stopping.signal.aborted) await this.#options.stream.setIdle([id], this.#options.settings.processingTimeoutMs, never);
    } catch (error) {
      this.#options.log.error(`redis streams: the outcome of message ${id} of ${this.#topic} was not stored: ${messageOf(error)}`);
    } finally {
      this.#held.delete(id);
    }
    if (failure !== null) this.#options.log.error(`Error processing Redis message ${id}: ${messageOf(failure.error)}`);
  }

  async #deliver(held: Held): Promise<{ readonly error: unknown } | null> {
    const { clock, handler, settings, signal } = this.#options;
    const { data, metadata } = held.entry;
    held.abort = new AbortController();
    if (signal.aborted) held.abort.abort(signal.reason);
    const timer = this.#redelivers ? clock.after(settings.processingTimeoutMs, () => this.#expire(held)) : null;
    try {
      await handler({ topic: this.#topic, data, contentType: null, metadata }, held.abort.signal);
      return null;
    } catch (error) {
      return { error };
    } finally {
      timer?.cancel();
    }
  }

  #expire(held: Held): void {
    const { processingTimeoutMs } = this.#options.settings;
    held.late = true;
    held.abort?.abort(new Error(`not handled within processingTimeout (${processingTimeoutMs} ms)`));
    this.#run(this.#giveBack([held.entry.id]));
  }

  /** Lets anybody take the entries over at once. Never rejects: without it that takes processingTimeout. */
  async #giveBack(ids: readonly string[]): Promise<void> {
    const { log, settings, stream } = this.#options;
    try {
      await stream.setIdle(ids, settings.processingTimeoutMs, never);
    } catch (error) {
      log.warn(`redis streams: ${ids.length} message(s) of ${this.#topic} are delivered again later: ${messageOf(error)}`);
    } finally {
      if (this.#stopping.signal.aborted) for (const id of ids) this.#held.delete(id);
    }
  }

  #renewLater(): void {
    const { clock, settings, stream } = this.#options;
    this.#renewal = clock.after(settings.processingTimeoutMs / 3, () => {
      const ids = [...this.#held.values()].filter(({ late }) => !late).map(({ entry }) => entry.id);
      this.#renewLater();
      stream.setIdle(ids, 0, never).catch((error: unknown) => {
        if (!isConnectionError(error)) this.#options.log.warn(`redis streams: messages of ${this.#topic} not kept: ${messageOf(error)}`);
      });
    });
  }

  async #recover(error: unknown, failures: number): Promise<void> {
    const { clock, log, settings, stream } = this.#options;
    const { signal } = this.#stopping;
    if (signal.aborted) return;
    if (isReplyError(error, "NOGROUP")) {
      log.warn(
        `redis streams: consumer group ${settings.group} does not exist for stream ${this.#topic}. This could mean the server ` +
          "experienced data loss, or the group/stream was deleted. It is made again.",
      );
      await stream.join(signal).catch((cause: unknown) => log.error(`redis streams: ${messageOf(cause)}`));
    } else if (failures === 0) {
      log.error(`redis streams: error reading from stream ${this.#topic}, will try again: ${messageOf(error)}`);
    }
    await sleep(clock, Math.min(failurePauseMaxMs, 50 * 2 ** Math.min(failures, 10)), signal).catch(() => {});
  }

  get #topic(): string {
    return this.#options.stream.topic;
  }
}
