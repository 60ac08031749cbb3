// Times of the open loop to about a tenth of a millisecond: Node's own timers have whole milliseconds, which would be most of what a fast
// subject is measured at. A thread sleeps on a futex and wakes us.
import { Worker } from "node:worker_threads";
import type { Timing } from "./open-loop.ts";

/** Milliseconds on the clock that all threads share. */
function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

const source = `
const { parentPort } = require("node:worker_threads");
const cell = new Int32Array(new SharedArrayBuffer(4));
parentPort.on("message", (at) => {
  const left = at - Number(process.hrtime.bigint()) / 1e6;
  if (left > 0) Atomics.wait(cell, 0, 0, left);
  parentPort.postMessage(null);
});
`;

export class Ticker implements Timing, Disposable {
  readonly #worker = new Worker(source, { eval: true });
  readonly now = sharedNow;

  until(at: number): Promise<void> {
    return new Promise((resolve) => {
      this.#worker.once("message", () => resolve());
      this.#worker.postMessage(at);
    });
  }

  [Symbol.dispose](): void {
    void this.#worker.terminate();
  }
}
