// Gives memory back after a burst. V8 collects when it allocates, so a sidecar that was busy and is now idle would keep
// for ever what it grew to. The step is pure; the pump below looks every few seconds. A full collection is felt by whoever is
// being served and makes V8 drop code, so it comes once after a burst and only when the lull has lasted.
import type { Clock, Timer } from "../lib/kit/clock.ts";

/** Growth over the floor that makes a collection worth its pause. */
const growthMinBytes = 24 * 1024 * 1024;
/** From this share of a core on it is a burst. */
const burstMin = 0.3;
/** Up to this share it is a lull; a scraper may well ask for metrics all the time. */
const lullMax = 0.2;
const lookEveryMs = 2_000;
const lullLooks = 5;

export interface TrimState {
  /** Resident bytes after the last collection, or at the start. */
  readonly floorBytes: number;
  /** Whether there was a burst since the last collection. */
  readonly burst: boolean;
  /** Looks in a row that found a lull. */
  readonly lull: number;
}

/** What one look changes, and whether to collect now. */
export function look(state: TrimState, residentBytes: number, busy: number): readonly [TrimState, collect: boolean] {
  const next = {
    // What went away by itself lowers the floor.
    floorBytes: Math.min(state.floorBytes, residentBytes),
    burst: state.burst || busy >= burstMin,
    lull: busy <= lullMax ? state.lull + 1 : 0,
  };
  return [next, next.burst && next.lull >= lullLooks && residentBytes - next.floorBytes > growthMinBytes];
}

export interface TrimPorts {
  readonly clock: Clock;
  readonly residentBytes: () => number;
  /** CPU time used since the last call, as a share of a core. */
  readonly busy: () => number;
  /** A full collection; resolves when it is done. */
  readonly collect: () => Promise<void>;
}

export function startMemoryTrim({ clock, residentBytes, busy, collect }: TrimPorts): { stop(): void } {
  let state: TrimState = { floorBytes: residentBytes(), burst: false, lull: 0 };
  let timer: Timer;
  const step = async () => {
    const [next, wanted] = look(state, residentBytes(), busy());
    state = next;
    if (wanted) {
      await collect();
      state = { floorBytes: residentBytes(), burst: false, lull: 0 };
    }
    timer = clock.after(lookEveryMs, step);
  };
  timer = clock.after(lookEveryMs, step);
  return { stop: () => timer.cancel() };
}
