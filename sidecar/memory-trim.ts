// Gives memory back after a burst. V8 collects when it allocates, so a sidecar that was busy and is now idle would keep
// for ever what it grew to. The step is pure; the pump below looks every few seconds.
import type { Clock, Timer } from "../lib/kit/clock.ts";

/** Growth over the floor that makes a collection worth its pause. */
const growthMinBytes = 24 * 1024 * 1024;
/** Above this share of busy time somebody is being served: the pause would be felt, and V8 drops code that it would need at once. */
const busyMax = 0.03;
const lookEveryMs = 2_000;

export interface TrimState {
  /** Resident bytes after the last collection, or at the start. */
  readonly floorBytes: number;
}

/** Whether to collect now. Invariant: after a collection the floor is what is left, so an app that needs it is not collected again and again. */
export function shouldTrim(state: TrimState, residentBytes: number, busy: number): boolean {
  return busy < busyMax && residentBytes - state.floorBytes > growthMinBytes;
}

export interface TrimPorts {
  readonly clock: Clock;
  readonly residentBytes: () => number;
  /** Share of time the event loop was busy since the last call, 0 to 1. */
  readonly busy: () => number;
  /** A full collection; resolves when it is done. */
  readonly collect: () => Promise<void>;
}

export function startMemoryTrim({ clock, residentBytes, busy, collect }: TrimPorts): { stop(): void } {
  let state: TrimState = { floorBytes: residentBytes() };
  let timer: Timer;
  const look = async () => {
    const now = residentBytes();
    // What went away by itself lowers the floor.
    if (now < state.floorBytes) state = { floorBytes: now };
    if (shouldTrim(state, now, busy())) {
      await collect();
      state = { floorBytes: residentBytes() };
    }
    timer = clock.after(lookEveryMs, look);
  };
  timer = clock.after(lookEveryMs, look);
  return { stop: () => timer.cancel() };
}
