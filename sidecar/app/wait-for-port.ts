// Waiting until the app accepts connections: dial, pause, dial again, for as long as it takes.
import { connect } from "node:net";
import { type Clock, sleep } from "../../lib/kit/clock.ts";
import type { Logger } from "../../lib/telemetry/log.ts";

const dialTimeoutMs = 500;
const pauseMs = 100;
const triesPerLog = 100;

export type Dial = (host: string, port: number, timeoutMs: number) => Promise<boolean>;

/** Resolves when `host:port` accepts; rejects only with the signal's reason. */
export async function waitForPort(
  host: string,
  port: number,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
  dial: Dial = dialTcp,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted();
    if (await dial(host, port, dialTimeoutMs)) return;
    if (tries % triesPerLog === 0) log.info(`waiting for application to listen on port ${port}`);
    await sleep(clock, pauseMs, signal);
  }
}

function dialTcp(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const settle = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => settle(true));
    socket.once("timeout", () => settle(false));
    socket.on("error", () => settle(false));
  });
}
