// Leads for as long as this process holds a Lease: the pump of lease.ts. While leading, `lead` runs with a signal that
// aborts as soon as leadership is lost or given up; a Lease that cannot be reached or read is tried again and again.
import { type Clock, sleep, systemClock } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";
import type { KubeClient } from "./client.ts";
import { isStatus } from "./error.ts";
import { decide, holderOf, type LeaseTimes, leaseSpec, leaseTimes, observe, type Seen } from "./lease.ts";
import type { KubeObject } from "./object.ts";
import { kubeResources } from "./resource.ts";

export interface LeaderOptions {
  readonly client: Pick<KubeClient, "get" | "create" | "update">;
  readonly namespace: string;
  readonly name: string;
  /** Of this process, unlike any other's. */
  readonly identity: string;
  /** Must end soon after its signal has aborted. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
  readonly times?: LeaseTimes;
  readonly clock?: Clock;
}

const { leases } = kubeResources;
const releaseTimeoutMs = 3_000;

export class Leader {
  readonly #options: LeaderOptions;
  readonly #times: LeaseTimes;
  readonly #clock: Clock;
  #seen: Seen | null = null;
  #term: { readonly stop: AbortController; readonly done: Promise<void> } | null = null;
  #renewedAt = 0;
  #trouble: string | null = null;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#times = options.times ?? leaseTimes;
    this.#clock = options.clock ?? systemClock;
  }

  get isLeading(): boolean {
    return this.#term !== null;
  }

  /** Resolves when the signal has aborted, the work has ended and the Lease is free for another; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#turn(signal);
      if (this.#term !== null && this.#clock.monotonic() - this.#renewedAt >= this.#times.renewDeadlineMs) {
        this.#options.log.error(`Leadership of ${this.#options.name} lost: the Lease could not be renewed in time`);
        await this.#stepDown();
      }
      await sleep(this.#clock, this.#times.retryMs, signal).catch(ignore);
    }
    const held = this.#term !== null;
    await this.#stepDown();
    if (held) await this.#release().catch(ignore);
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    const within = AbortSignal.any([signal, AbortSignal.timeout(this.#times.renewDeadlineMs)]);
    try {
      const lease = await client.get(leases, namespace, name, within);
      const now = this.#clock.monotonic();
      this.#seen = lease === null ? null : observe(this.#seen, lease, now);
      const decision = decide(lease, this.#seen, identity, now, this.#times);
      if (decision === "wait") return await this.#follow(lease);
      await this.#write(lease, decision, within);
      this.#renewedAt = now;
      this.#report(null);
      this.#leadOn();
    } catch (error) {
      if (signal.aborted) return;
      // Another was faster; the next turn sees whom.
      if (!isStatus(error, 409)) this.#report(messageOf(error));
    }
  }

  async #write(lease: KubeObject | null, decision: "create" | "take" | "renew", signal: AbortSignal): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    const spec = leaseSpec(decision, lease, identity, this.#clock.now(), this.#times);
    if (lease === null) await client.create(leases, namespace, { metadata: { name, namespace }, spec }, signal);
    else await client.update(leases, namespace, name, { ...lease, spec }, signal);
  }

  #leadOn(): void {
    if (this.#term !== null) return;
    const { log, name, identity, lead } = this.#options;
    log.info(`Leading: ${identity} holds the Lease ${name}`);
    const stop = new AbortController();
    const done = lead(stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) log.error(`what the leader does has failed (a bug): ${messageOf(error)}`);
    });
    this.#term = { stop, done };
  }

  async #follow(lease: KubeObject | null): Promise<void> {
    this.#report(null);
    if (this.#term === null || lease === null) return;
    this.#options.log.warn(`Leadership of ${this.#options.name} went to ${holderOf(lease)}`);
    await this.#stepDown();
  }

  async #stepDown(): Promise<void> {
    const term = this.#term;
    if (term === null) return;
    this.#term = null;
    term.stop.abort(new Error("no longer the leader"));
    await term.done;
  }

  /** So that another need not wait for the end of our time. */
  async #release(): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    const signal = AbortSignal.timeout(releaseTimeoutMs);
    const lease = await client.get(leases, namespace, name, signal);
    if (lease === null || holderOf(lease) !== identity) return;
    const spec = { ...leaseSpec("renew", lease, identity, this.#clock.now(), this.#times), holderIdentity: "", leaseDurationSeconds: 1 };
    await client.update(leases, namespace, name, { ...lease, spec }, signal);
  }

  #report(trouble: string | null): void {
    const { log, name } = this.#options;
    if (trouble !== null && this.#trouble === null) log.warn(`The Lease ${name} cannot be used, trying again: ${trouble}`);
    if (trouble === null && this.#trouble !== null) log.info(`The Lease ${name} can be used again`);
    this.#trouble = trouble;
  }
}

function ignore(): void {}
