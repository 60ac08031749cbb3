// News of changed files: directories are watched, since files are replaced by renaming (in Kubernetes by a link beside
// them), and what comes in a burst is told once. Whoever listens polls too: not every file system reports.
import { type FSWatcher, watch } from "node:fs";
import type { Clock, Timer } from "../lib/kit/clock.ts";

export interface FileWatch {
  close(): void;
}

const settleMs = 500;

/** Calls `changed` some time after the last change in one of `directories`; those that do not exist are left out. */
export function watchDirectories(directories: readonly string[], clock: Clock, changed: () => void): FileWatch {
  let timer: Timer | null = null;
  const onEvent = (): void => {
    timer?.cancel();
    timer = clock.after(settleMs, changed);
  };
  const watchers = new Set(directories).values().map((directory) => open(directory, onEvent));
  const opened = [...watchers].filter((watcher) => watcher !== null);
  return {
    close() {
      timer?.cancel();
      for (const watcher of opened) watcher.close();
    },
  };
}

function open(directory: string, onEvent: () => void): FSWatcher | null {
  try {
    const watcher = watch(directory, { persistent: false }, onEvent);
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return null;
  }
}
