// The trust anchors of this installation: roots in PEM from a file that is watched, or given as text
// (DAPR_TRUST_ANCHORS). Invariants: 1. `anchors` is never empty once loaded; 2. bad content never replaces good, and is
// reported once until it is good again; 3. listeners are called only when the set has changed.
import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Clock, sleep, systemClock } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";
import { Changes, type Unsubscribe } from "./changes.ts";
import { type Certificate, certificatesPem, readCertificatesPem } from "./x509/read-certificate.ts";

export interface TrustAnchors {
  readonly anchors: readonly Certificate[];
  /** The same in PEM, without comments. */
  readonly pem: string;
}

export interface TrustBundle extends TrustAnchors {
  onChange(listener: () => void): Unsubscribe;
}

const emptyAnchors: TrustAnchors = { anchors: [], pem: "" };

/** Certificates of `pem`, each once. Throws X509Error, also when there is none. */
export function readTrustAnchors(pem: string | Uint8Array): TrustAnchors {
  return anchorsOf(readCertificatesPem(pem));
}

function anchorsOf(certificates: readonly Certificate[]): TrustAnchors {
  const once = [...new Map(certificates.map((certificate) => [certificate.x509.fingerprint256, certificate])).values()];
  return { anchors: once, pem: certificatesPem(once) };
}

/** Anchors that somebody sets: given as text, or by a CA that is its own trust bundle. */
export class HeldTrustBundle implements TrustBundle {
  readonly #changes = new Changes();
  #current: TrustAnchors;
  /** What the CA has announced last, by fingerprint; those that it withdraws later are dropped, the user's own are kept. */
  #announced = new Map<string, Certificate>();

  constructor(initial: TrustAnchors = emptyAnchors) {
    this.#current = initial;
  }

  get anchors(): readonly Certificate[] {
    return this.#current.anchors;
  }

  get pem(): string {
    return this.#current.pem;
  }

  onChange(listener: () => void): Unsubscribe {
    return this.#changes.add(listener);
  }

  /** Returns whether anything has changed. */
  set(next: TrustAnchors): boolean {
    if (next.pem === this.#current.pem) return false;
    this.#current = next;
    this.#changes.notify();
    return true;
  }

  /**
   * Takes over what the authenticated CA says its anchors are: new ones are added, and one that it had announced before and
   * now leaves out is dropped. So a rotated root reaches processes that have their anchors from the environment.
   */
  announce(anchors: readonly Certificate[]): boolean {
    if (anchors.length === 0) return false;
    const next = new Map(anchors.map((certificate) => [certificate.x509.fingerprint256, certificate]));
    const withdrawn = (certificate: Certificate) =>
      this.#announced.has(certificate.x509.fingerprint256) && !next.has(certificate.x509.fingerprint256);
    const kept = this.#current.anchors.filter((certificate) => !withdrawn(certificate));
    this.#announced = next;
    return this.set(anchorsOf([...kept, ...next.values()]));
  }
}

export interface FileTrustBundleOptions {
  readonly path: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** How often the file is read although no change was reported: mounted volumes do not always report. */
  readonly pollMs?: number;
}

const pollDefaultMs = 10_000;
const waitForFileMs = 1_000;

export class FileTrustBundle implements TrustBundle {
  readonly #held = new HeldTrustBundle();
  readonly #options: FileTrustBundleOptions;
  readonly #clock: Clock;
  /** Content last looked at, good or bad. */
  #seen: string | null = null;
  #watcher: FSWatcher | null = null;
  #reloading: Promise<void> | null = null;
  #again = false;
  #problem: string | null = null;

  constructor(options: FileTrustBundleOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get anchors(): readonly Certificate[] {
    return this.#held.anchors;
  }

  get pem(): string {
    return this.#held.pem;
  }

  onChange(listener: () => void): Unsubscribe {
    return this.#held.onChange(listener);
  }

  /**
   * Resolves once anchors are loaded, waiting for the file if it is not there yet; then watches until `signal` aborts.
   * Rejects when the file cannot be read or the first content is bad.
   */
  async start(signal: AbortSignal): Promise<void> {
    const { path, log } = this.#options;
    await this.#firstLoad(signal);
    log.info(`Watching trust anchors file '${path}' for changes`);
    this.#watch();
    signal.addEventListener("abort", () => this.#watcher?.close(), { once: true });
    void this.#poll(signal);
  }

  async #firstLoad(signal: AbortSignal): Promise<void> {
    const { path, log } = this.#options;
    for (let waiting = false; ; waiting = true) {
      const content = await readIfThere(path);
      if (content !== null) {
        log.info(`Trust anchors file '${path}' found`);
        this.#seen = content;
        this.#held.set(readTrustAnchors(content));
        return;
      }
      if (!waiting) log.warn(`Trust anchors file '${path}' not found, waiting...`);
      await sleep(this.#clock, waitForFileMs, signal);
    }
  }

  /** The directory is watched, since files are replaced by renaming, in Kubernetes by a link beside them. */
  #watch(): void {
    try {
      this.#watcher = watch(dirname(this.#options.path), { persistent: false }, () => void this.reload());
      this.#watcher.on("error", () => this.#watcher?.close());
    } catch {
      // The poll finds changes too, only later.
    }
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#clock, this.#options.pollMs ?? pollDefaultMs, signal).catch(ignore);
      if (!signal.aborted) await this.reload();
    }
  }

  /** Reads the file now. Never rejects. Calls while one is running end in one more reading. */
  async reload(): Promise<void> {
    if (this.#reloading !== null) {
      this.#again = true;
      return this.#reloading;
    }
    this.#reloading = this.#reload();
    await this.#reloading;
  }

  async #reload(): Promise<void> {
    do {
      this.#again = false;
      try {
        const content = await readFile(this.#options.path, "utf8");
        if (content !== this.#seen || this.#problem !== null) this.#take(content);
      } catch (error) {
        this.#report(messageOf(error));
      }
    } while (this.#again);
    this.#reloading = null;
  }

  #take(content: string): void {
    this.#seen = content;
    const changed = this.#held.set(readTrustAnchors(content));
    if (changed) this.#options.log.info("Trust anchors file changed, reloading trust anchors");
    else if (this.#problem !== null) this.#options.log.info(`Trust anchors file '${this.#options.path}' is good again`);
    this.#problem = null;
  }

  #report(problem: string): void {
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.#options.log.error(`Trust anchors file '${this.#options.path}' cannot be used, keeping the last good ones: ${problem}`);
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function ignore(): void {}
