// Waking other processes that share a database file: a writer touches `<file>-wake`, and every process that listens is told by
// the kernel (fs.watch). A slow poll stands behind it for file systems without change events and for a writer that died between
// its commit and its touch, so a wake-up may be spurious and is never a promise that there is work. ADR 0003 says why not sockets.
import { closeSync, type FSWatcher, futimesSync, openSync, watch } from "node:fs";
import { open } from "node:fs/promises";
import type { Clock, Timer } from "../../lib/kit/clock.ts";

/** Default of the slow poll, milliseconds. */
export const wakePollMs = 1000;

export function wakePathOf(databasePath: string): string {
  return `${databasePath}-wake`;
}

/** The ringing side. Synchronous: it belongs in the database's worker, after the commit. */
export class WakeBell {
  readonly #path: string;
  #descriptor = -1;

  constructor(databasePath: string) {
    this.#path = wakePathOf(databasePath);
  }

  /** Never throws: whoever misses the bell finds the work at its next poll. */
  ring(): void {
    try {
      if (this.#descriptor < 0) this.#descriptor = openSync(this.#path, "a", 0o660);
      const now = Date.now() / 1000;
      futimesSync(this.#descriptor, now, now);
    } catch {
      this.close();
    }
  }

  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }
}

export interface WakeOptions {
  readonly clock: Clock;
  readonly pollMs?: number;
}

/** The listening side: calls `onWake` soon after any process rang, and every `pollMs` whatever happens. */
export class WakeListener {
  readonly #path: string;
  readonly #onWake: () => void;
  readonly #clock: Clock;
  readonly #pollMs: number;
  #watcher: FSWatcher | null = null;
  #timer: Timer | null = null;
  #closed = false;

  /** `databasePath` null: a database in memory, which nobody else can write to; nothing is watched or polled. */
  static async open(databasePath: string | null, onWake: () => void, options: WakeOptions): Promise<WakeListener> {
    const listener = new WakeListener(databasePath, onWake, options);
    if (databasePath === null) return listener;
    await listener.#watch();
    listener.#poll();
    return listener;
  }

  private constructor(databasePath: string | null, onWake: () => void, options: WakeOptions) {
    this.#path = databasePath === null ? "" : wakePathOf(databasePath);
    this.#onWake = onWake;
    this.#clock = options.clock;
    this.#pollMs = options.pollMs ?? wakePollMs;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#watcher?.close();
    this.#watcher = null;
  }

  #poll(): void {
    if (this.#closed) return;
    this.#timer = this.#clock.after(this.#pollMs, () => {
      if (this.#watcher === null) this.#watch().catch(() => {});
      this.#onWake();
      this.#poll();
    });
  }

  /** Watches the file, made if need be. Where watching is impossible (no inotify left, odd file system) the poll is enough. */
  async #watch(): Promise<void> {
    try {
      await (await open(this.#path, "a", 0o660)).close();
      if (this.#closed || this.#watcher !== null) return;
      const watcher = watch(this.#path, { persistent: false }, (event) => this.#onEvent(event));
      watcher.on("error", () => this.#unwatch());
      this.#watcher = watcher;
    } catch {
      this.#unwatch();
    }
  }

  #onEvent(event: string): void {
    if (this.#closed) return;
    // The file was removed or replaced: the next poll watches its successor.
    if (event === "rename") this.#unwatch();
    this.#onWake();
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = null;
  }
}
