// One subscription of pubsub.sqlite: takes deliveries of its group under a lease, hands them to the handler in order of publication,
// at most `concurrency` at a time, and acknowledges, refuses or gives back.
// Invariants:
//  1. What this consumer holds keeps its lease until it is settled: the lease is renewed at a third of its length.
//  2. A message is settled at most once, and only by the lease that took it.
//  3. After stop() nothing is held: handled messages are settled, unhandled ones are as if never taken.

import type { Clock, Timer } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { SqliteDatabase } from "../../shared/sqlite.ts";
import type { Row, SqlValue, Statement } from "../../shared/sqlite-protocol.ts";
import type { BrokerMessage, BrokerSubscription, MessageHandler } from "../broker.ts";
import type { ConsumerSettings } from "./settings.ts";
import { acknowledge, giveBack, peekSql, refuse, renew, take } from "./tables.ts";

interface Held {
  readonly id: SqlValue;
  /** 1 for the first delivery. */
  readonly attempts: number;
  readonly message: BrokerMessage;
}

export interface ConsumerOptions {
  readonly database: SqliteDatabase;
  readonly group: SqlValue;
  readonly topic: string;
  /** Unique among all consumers of the database. */
  readonly lease: string;
  readonly settings: ConsumerSettings;
  readonly handler: MessageHandler;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborts when the driver is closed. */
  readonly signal: AbortSignal;
}

const never = new AbortController().signal;

export class Consumer implements BrokerSubscription {
  readonly group: SqlValue;
  readonly topic: string;
  readonly #options: ConsumerOptions;
  /** Taken, not yet handed over. */
  #waiting: Held[] = [];
  /** Everything leased and not settled, by message id. */
  readonly #held = new Map<SqlValue, Held>();
  readonly #tasks = new Set<Promise<void>>();
  #handling = 0;
  #fetching: Promise<void> | null = null;
  /** Somebody said that there may be more than was fetched. */
  #more = false;
  #lastUntil = 0;
  #renewal: Timer | null = null;
  readonly #pauses = new Set<Timer>();
  #stopped: Promise<void> | null = null;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.group = options.group;
    this.topic = options.topic;
  }

  /** There may be something to take. Never rejects, never waits. */
  wake(): void {
    this.#more = true;
    this.#fetchSoon();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    for (const pause of this.#pauses) pause.cancel();
    await this.#fetching;
    const unhandled = this.#waiting;
    this.#waiting = [];
    if (unhandled.length > 0) {
      await this.#settle(
        unhandled,
        unhandled.map((held) => giveBack(this.group, held.id, this.#options.lease)),
        true,
      );
    }
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    this.#renewal?.cancel();
    this.#renewal = null;
  }

  #fetchSoon(): void {
    if (!this.#more || this.#fetching !== null || this.#wanted() <= 0) return;
    this.#fetching = this.#fetchAll().finally(() => {
      this.#fetching = null;
      this.#fetchSoon();
    });
  }

  /** As much again as is being handled is taken ahead, in gulps, so that no handler waits for a commit. */
  #wanted(): number {
    if (this.#stopped !== null || this.#options.signal.aborted) return 0;
    const { concurrency } = this.#options.settings;
    return this.#waiting.length * 2 > concurrency ? 0 : concurrency * 2 - this.#handling - this.#waiting.length;
  }

  async #fetchAll(): Promise<void> {
    try {
      while (this.#more && this.#wanted() > 0) {
        this.#more = false;
        if (await this.#somethingDue()) await this.#fetch(this.#wanted());
      }
    } catch (error) {
      if (this.#options.signal.aborted) return;
      this.#options.log.warn(`error fetching messages of topic ${this.topic}, will try again: ${messageOf(error)}`);
      this.#wakeIn(1000);
    }
  }

  async #somethingDue(): Promise<boolean> {
    const rows = await this.#options.database.query(peekSql, [this.group, this.#options.clock.now()], this.#options.signal);
    return rows.length > 0;
  }

  async #fetch(count: number): Promise<void> {
    if (count <= 0) return;
    const { clock, database, lease, settings, signal } = this.#options;
    const until = this.#nextUntil();
    const now = clock.now();
    const results = await database.write(take(this.group, lease, now, until, count), signal);
    const rows = results[1]?.rows ?? [];
    this.#more ||= rows.length >= count;
    const expired: Held[] = [];
    for (const row of rows) {
      const held = this.#heldOf(row);
      // Ours from before a pause longer than the lease: its handler is still at it.
      if (this.#held.has(held.id)) continue;
      this.#held.set(held.id, held);
      if (Number(row[4]) <= now) expired.push(held);
      else this.#waiting.push(held);
    }
    if (expired.length > 0) this.#run(this.#acknowledge(expired));
    if (this.#held.size > 0) this.#renewal ??= clock.after(settings.leaseMs / 3, () => this.#renew());
    this.#handOver();
  }

  #heldOf(row: Row): Held {
    const [id, attempts, data, metadata] = row as [SqlValue, number, Uint8Array, string, number];
    const parsed = JSON.parse(metadata) as Record<string, string>;
    return { id, attempts: Number(attempts), message: { topic: this.topic, data, contentType: null, metadata: parsed } };
  }

  #nextUntil(): number {
    this.#lastUntil = Math.max(this.#options.clock.now() + this.#options.settings.leaseMs, this.#lastUntil + 1);
    return this.#lastUntil;
  }

  #handOver(): void {
    while (this.#handling < this.#options.settings.concurrency && this.#waiting.length > 0 && this.#stopped === null) {
      this.#handling++;
      this.#run(this.#handle(this.#waiting.shift() as Held));
    }
  }

  #run(task: Promise<void>): void {
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }

  /** Never rejects. */
  async #handle(held: Held): Promise<void> {
    const failure = await this.#deliver(held.message);
    this.#handling--;
    this.#handOver();
    this.#fetchSoon();
    if (failure === null) await this.#acknowledge([held]);
    else await this.#refuse(held, failure.error);
  }

  async #deliver(message: BrokerMessage): Promise<{ readonly error: unknown } | null> {
    try {
      await this.#options.handler(message, this.#options.signal);
      return null;
    } catch (error) {
      return { error };
    }
  }

  #acknowledge(held: readonly Held[]): Promise<void> {
    return this.#settle(
      held,
      held.flatMap(({ id }) => acknowledge(this.group, id, this.#options.lease)),
      false,
    );
  }

  async #refuse(held: Held, error: unknown): Promise<void> {
    const { clock, lease, log, settings } = this.#options;
    if (this.#stopped !== null) return this.#settle([held], [giveBack(this.group, held.id, lease)], true);
    const delayMs = Math.min(settings.redeliverMaxMs, settings.redeliverMs * 2 ** Math.min(held.attempts - 1, 30));
    log.error(`topic ${this.topic}: message refused (attempt ${held.attempts}), delivered again in ${delayMs} ms: ${messageOf(error)}`);
    await this.#settle([held], [refuse(this.group, held.id, lease, clock.now() + delayMs)], false);
    this.#wakeIn(delayMs);
  }

  /** Never rejects: what cannot be settled is delivered again once its lease has run out, which is then no longer renewed. */
  async #settle(held: readonly Held[], statements: readonly Statement[], wakeOthers: boolean): Promise<void> {
    try {
      // A driver that is being closed still settles what was handled.
      await this.#options.database.write(statements, never, { wake: wakeOthers });
    } catch (error) {
      this.#options.log.error(
        `topic ${this.topic}: the outcome of ${held.length} message(s) was not stored, they will come again: ${messageOf(error)}`,
      );
    } finally {
      for (const { id } of held) this.#held.delete(id);
    }
  }

  #wakeIn(delayMs: number): void {
    if (this.#stopped !== null) return;
    const timer = this.#options.clock.after(delayMs, () => {
      this.#pauses.delete(timer);
      this.wake();
    });
    this.#pauses.add(timer);
  }

  #renew(): void {
    this.#renewal = null;
    if (this.#held.size === 0 || this.#options.signal.aborted) return;
    const { clock, database, lease, log, settings, signal } = this.#options;
    database.write([renew(this.group, lease, this.#nextUntil())], signal).catch((error: unknown) => {
      if (!signal.aborted) log.warn(`topic ${this.topic}: lease not renewed: ${messageOf(error)}`);
    });
    this.#renewal = clock.after(settings.leaseMs / 3, () => this.#renew());
  }
}
