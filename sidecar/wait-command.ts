// `daprd --wait`: polls the outbound health of the daprd on this machine, then returns whatever came of it: Dapr's
// entrypoints rely on exit code 0 even after the timeout.
import { type Clock, sleep } from "../lib/kit/clock.ts";

export interface Polling {
  readonly url: string;
  readonly timeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly periodMs: number;
}

export async function pollUntilReady(polling: Polling, clock: Clock, fetchStatus = statusOf): Promise<void> {
  const until = clock.monotonic() + polling.timeoutMs;
  while (clock.monotonic() < until) {
    if ((await fetchStatus(polling)) === 204) return;
    await sleep(clock, polling.periodMs);
  }
}

/** 0 when nobody answers. */
async function statusOf({ url, requestTimeoutMs }: Polling): Promise<number> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) });
    await response.body?.cancel();
    return response.status;
  } catch {
    return 0;
  }
}
