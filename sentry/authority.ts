// The certificate authority as it runs: what is in force now, and the pump of the rotation (rotate.ts decides, this does).
// Everything that changes it — the first load, a tick, a change in the store — goes through one queue, so that no two
// overlap. Bad content of a store never replaces good, and a step that could not be saved is not in force.
import { type Clock, sleep, type Timer } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { Changes, type Unsubscribe } from "../lib/security/changes.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { SentryMetrics } from "../lib/telemetry/sentry-metrics.ts";
import type { JwtConfig, RotationConfig } from "./config.ts";
import { missingCredentials, readRotation, readSigning, type Signing } from "./credentials.ts";
import type { MtlsConfig } from "./mtls-settings.ts";
import { type IssuerMaterial, nextChangeAt, type RotationEvent, type RotationSettings, type RotationState, step } from "./rotate.ts";
import { credentialsOf } from "./rotation-record.ts";
import { ConflictError, type CredentialStore, type Credentials } from "./store/store.ts";

export interface AuthorityOptions {
  readonly store: CredentialStore;
  readonly mtls: MtlsConfig;
  readonly jwt: JwtConfig | null;
  readonly rotation: RotationConfig;
  /** Makes a root and an issuer. */
  readonly make: (now: number) => Promise<IssuerMaterial>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: SentryMetrics;
}

/** For `GET /rotation` and `mtls check`; nothing in it is secret. Times in ISO 8601. */
export interface AuthorityStatus {
  readonly managed: boolean;
  readonly phase: RotationState["phase"] | null;
  readonly since: string | null;
  readonly nextStepAt: string | null;
  readonly issuerExpiresAt: string;
  readonly anchors: readonly { readonly sha256: string; readonly expiresAt: string; readonly signs: boolean }[];
  /** Why the last step failed, or null. */
  readonly problem: string | null;
}

/** Ticks at least this often: wall clocks jump, and timers cannot wait for months. */
const tickMaxMs = 60_000;
const retryMs = 5_000;
const conflictsMax = 5;

export class Authority {
  readonly #options: AuthorityOptions;
  readonly #settings: RotationSettings;
  readonly #changes = new Changes();
  readonly #stop = new AbortController();
  #signing: Signing | null = null;
  #state: RotationState | null = null;
  #version = "";
  #servingSince = Number.POSITIVE_INFINITY;
  #timer: Timer | null = null;
  #queue: Promise<void> = Promise.resolve();
  /** What goes wrong at the moment, by where. */
  readonly #problems = new Map<"store" | "rotation", string>();

  constructor(options: AuthorityOptions) {
    this.#options = options;
    const { mtls, rotation } = options;
    this.#settings = { leafTtlMs: mtls.leafTtlMs, clockSkewMs: mtls.clockSkewMs, ...rotation };
  }

  /** What is in force. Only after `load`. */
  get signing(): Signing {
    if (this.#signing === null) throw new Error("the certificate authority is not loaded");
    return this.#signing;
  }

  onChange(listener: () => void): Unsubscribe {
    return this.#changes.add(listener);
  }

  /** Loads, making what is missing. Rejects when what is there cannot be used. */
  async load(): Promise<void> {
    const { clock, log, metrics } = this.#options;
    const made = await this.#loadOrMake();
    if (made) {
      log.info("Self-signed certs and JWT root key generated and persisted successfully");
      metrics.issuerChanged();
    } else log.info("Root and issuer certs found: using credentials from store");
    const { endsAt } = this.signing.bundle;
    if (clock.now() >= endsAt && this.#state === null) {
      throw new Error(`issuer chain does not belong to trust anchors: it has expired at ${new Date(endsAt).toISOString()}; renew it`);
    }
    // An expired authority of ours is replaced before anybody is served.
    await this.#enqueue(() => this.#tick());
  }

  /** Called once requests are answered: from now on workloads can renew. */
  serving(): void {
    this.#servingSince = this.#options.clock.now();
    void this.#enqueue(() => this.#tick());
  }

  /** Takes over what somebody else has changed in the store. Never rejects. */
  reload(): Promise<void> {
    return this.#enqueue(() => this.#reload());
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error("sentry is stopping"));
    this.#timer?.cancel();
    await this.#queue;
  }

  status(): AuthorityStatus {
    const { bundle } = this.signing;
    const state = this.#state;
    const iso = (at: number): string | null => (Number.isFinite(at) ? new Date(at).toISOString() : null);
    return {
      managed: state !== null,
      phase: state?.phase ?? null,
      since: state === null ? null : iso(state.since),
      nextStepAt: state === null ? null : iso(nextChangeAt(state, this.#servingSince, this.#settings)),
      issuerExpiresAt: new Date(bundle.endsAt).toISOString(),
      anchors: bundle.anchors.map((anchor) => ({
        sha256: anchor.x509.fingerprint256.replaceAll(":", "").toLowerCase(),
        expiresAt: new Date(anchor.notAfter).toISOString(),
        signs: anchor === bundle.root,
      })),
      problem: [...this.#problems.values()].join("; ") || null,
    };
  }

  /** Whether anything was made. */
  async #loadOrMake(): Promise<boolean> {
    const { store, jwt, make, mtls, clock, log } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const { credentials, version } = await store.load(this.#stop.signal);
      const now = clock.now();
      const missing = await missingCredentials(credentials, jwt, () => make(now), mtls.leafTtlMs, now, log);
      if (missing === null) {
        this.#take(credentials, version, false);
        return false;
      }
      try {
        const saved = await store.save(missing, version, this.#stop.signal);
        this.#take({ ...credentials, ...missing }, saved, missing.jwks !== undefined);
        return true;
      } catch (error) {
        // Another replica was faster: what it made counts.
        if (!(error instanceof ConflictError) || attempt === conflictsMax) throw error;
      }
    }
  }

  #take(credentials: Credentials, version: string, generated: boolean): void {
    const { jwt, mtls, rotation, clock, log } = this.#options;
    const signing = readSigning(credentials, jwt, mtls, generated);
    this.#state = readRotation(credentials, signing.bundle, rotation, mtls.leafTtlMs, clock.now(), log);
    this.#version = version;
    this.#apply(signing);
  }

  #apply(signing: Signing): void {
    const { metrics } = this.#options;
    const before = this.#signing;
    this.#signing = signing;
    metrics.issuerExpires(signing.bundle.endsAt);
    this.#observe();
    if (before === null || same(before, signing)) return;
    if (before.bundle.chainPem !== signing.bundle.chainPem) metrics.issuerChanged();
    this.#changes.notify();
  }

  #observe(): void {
    const { metrics } = this.#options;
    const state = this.#state;
    const next = state === null ? 0 : nextChangeAt(state, this.#servingSince, this.#settings);
    metrics.rotation(state?.phase ?? null, Number.isFinite(next) ? next : 0, this.signing.bundle.anchors.length);
  }

  async #reload(): Promise<void> {
    const { store, log } = this.#options;
    try {
      const { credentials, version } = await store.load(this.#stop.signal);
      if (version === this.#version) {
        this.#problems.delete("store");
        return;
      }
      const before = this.signing;
      this.#take(credentials, version, false);
      if (!same(before, this.signing)) log.warn("Issuer credentials changed; reloading");
      this.#problems.delete("store");
      await this.#tick();
    } catch (error) {
      this.#report("store", `${store.description} cannot be used, keeping the last good credentials: ${messageOf(error)}`);
    }
  }

  async #tick(): Promise<void> {
    const { clock } = this.#options;
    if (this.#state === null || this.#stop.signal.aborted) return;
    try {
      await this.#drive({ kind: "tick", at: clock.now(), servingSince: this.#servingSince });
      this.#problems.delete("rotation");
    } catch (error) {
      if (error instanceof ConflictError) return this.#reload();
      this.#options.metrics.rotationFailed();
      this.#report("rotation", `The rotation of the root waits: ${messageOf(error)}`);
      this.#wake(clock.now() + retryMs);
    }
  }

  async #drive(event: RotationEvent): Promise<void> {
    const { clock, make, store, log, metrics } = this.#options;
    const { state, effects } = step(this.#state as RotationState, event, this.#settings);
    for (const effect of effects) {
      switch (effect.kind) {
        case "make": {
          const material = await make(clock.now());
          await this.#drive({ kind: "made", at: clock.now(), material });
          break;
        }
        case "save": {
          const credentials = credentialsOf(state);
          // Checked before it is written: what cannot be read back must not be kept.
          const signing = { ...this.signing, bundle: readSigning(credentials, null, this.#options.mtls, false).bundle };
          this.#version = await store.save(credentials, this.#version, this.#stop.signal);
          this.#state = state;
          metrics.rotationStep(effect.reason);
          if (effect.reason !== "longer_leaves") log.info(`Root rotation: ${stepText[effect.reason]}`);
          this.#apply(signing);
          break;
        }
        case "wake":
          this.#wake(effect.at);
      }
    }
  }

  #wake(at: number): void {
    const { clock } = this.#options;
    this.#timer?.cancel();
    if (this.#stop.signal.aborted) return;
    const delayMs = Math.min(Math.max(at - clock.now(), 0), tickMaxMs);
    this.#timer = clock.after(delayMs, () => void this.#enqueue(() => this.#tick()));
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    const run = this.#queue.then(task);
    this.#queue = run.catch(() => {});
    return run;
  }

  /** One line per change. */
  #report(where: "store" | "rotation", problem: string): void {
    if (this.#problems.get(where) === problem) return;
    this.#problems.set(where, problem);
    if (!this.#stop.signal.aborted) this.#options.log.error(problem);
  }
}

const stepText = {
  distribute: "handing out a new trust anchor beside the old one",
  switch: "the new issuer signs from now on; the old trust anchor is still handed out",
  retire: "the old trust anchor is gone",
} as const;

function same(one: Signing, other: Signing): boolean {
  return (
    one.bundle.anchorsPem === other.bundle.anchorsPem &&
    one.bundle.chainPem === other.bundle.chainPem &&
    one.bundle.keyPem === other.bundle.keyPem &&
    one.keySet === other.keySet
  );
}

/** Looks at the store again and again until `signal` aborts: not every change is reported. */
export async function pollStore(authority: Authority, clock: Clock, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(clock, everyMs, signal).catch(() => {});
    if (!signal.aborted) await authority.reload();
  }
}
