// The identity of this process from sentry: the pump of renewal.ts. It asks, holds what came, tells who listens, and
// keeps the last good identity as long as nothing better comes.
import { type Clock, systemClock, type Timer } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";
import type { CertificateFailure } from "../telemetry/metrics.ts";
import type { Unsubscribe } from "./changes.ts";
import type { JwtSvid } from "./jwt-svid.ts";
import { initialRenewal, type RenewalEffect, type RenewalEvent, stepRenewal } from "./renewal.ts";
import { type Issued, RefusedError, RequestError } from "./sentry-client.ts";
import { HeldSvid, type Svid, type SvidSource } from "./svid-source.ts";

export interface CertificateSourceOptions {
  /** Asks sentry once; see SentryClient. */
  readonly request: (signal: AbortSignal) => Promise<Issued>;
  readonly log: Logger;
  /** Called before the new identity counts, with what sentry says its anchors are. */
  readonly onAnnounced?: (issued: Issued) => void;
  readonly onFailure?: (cause: string, reason: CertificateFailure) => void;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
}

export class CertificateSource implements SvidSource {
  readonly #options: CertificateSourceOptions;
  readonly #clock: Clock;
  readonly #held = new HeldSvid();
  #issued: Issued | null = null;
  #state = initialRenewal;
  #timer: Timer | null = null;
  #signal: AbortSignal = AbortSignal.abort();
  #started = Promise.withResolvers<void>();

  constructor(options: CertificateSourceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get current(): Svid | null {
    return this.#held.current;
  }

  /** The JWT that came with the certificate: for `audience` alone, or with null the one for all. Null without. */
  jwt(audience: string | null): JwtSvid | null {
    return (audience === null ? this.#issued?.jwt : this.#issued?.jwtByAudience.get(audience)) ?? null;
  }

  onChange(listener: () => void): Unsubscribe {
    return this.#held.onChange(listener);
  }

  /**
   * Resolves with the first identity and renews until `signal` aborts. As long as sentry cannot be reached it is asked
   * again; rejects when sentry refuses, or with the signal's reason.
   */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#signal = signal;
    signal.addEventListener(
      "abort",
      () => {
        this.#timer?.cancel();
        this.#started.reject(signal.reason);
      },
      { once: true },
    );
    this.#event({ kind: "started" });
    return this.#started.promise;
  }

  #event(event: RenewalEvent): void {
    if (this.#signal.aborted) return;
    const random = this.#options.random ?? Math.random;
    const [state, effects] = stepRenewal(this.#state, event, this.#clock.now(), random());
    this.#state = state;
    for (const effect of effects) this.#run(effect);
  }

  #run(effect: RenewalEffect): void {
    switch (effect.kind) {
      case "request":
        void this.#request();
        return;
      case "wait":
        this.#timer = this.#clock.after(effect.ms, () => this.#event({ kind: "timer" }));
        return;
      case "give_up":
        this.#started.reject(new Error(`failed to retrieve the initial identity: ${effect.cause}`));
        return;
      case "log":
        this.#options.log[effect.level](effect.message);
    }
  }

  async #request(): Promise<void> {
    try {
      const issued = await this.#options.request(this.#signal);
      if (!this.#signal.aborted) this.#take(issued);
    } catch (error) {
      const cause = messageOf(error);
      this.#options.onFailure?.(cause, error instanceof RequestError ? error.reason : "other");
      this.#event({ kind: "failed", cause, definite: error instanceof RefusedError });
    }
  }

  #take(issued: Issued): void {
    this.#issued = issued;
    this.#options.onAnnounced?.(issued);
    this.#held.set(issued.svid);
    const { notBefore, notAfter } = issued.svid.leaf;
    this.#event({ kind: "issued", life: { notBefore, notAfter, jwtExpiry: soonest(issued) } });
    this.#started.resolve();
  }
}

function soonest({ jwt, jwtByAudience }: Issued): number | null {
  const times = [jwt, ...jwtByAudience.values()].flatMap((entry) => (entry === null ? [] : [entry.expiresAt]));
  return times.length === 0 ? null : Math.min(...times);
}
