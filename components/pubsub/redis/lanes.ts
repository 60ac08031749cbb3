// The component's `concurrency`, shared by its subscriptions: a free place goes to the next subscription in turn that has a message waiting,
// so that a flooded topic does not starve the others.

export interface Lane {
  /** Starts handling the next waiting message; false when none waits. What was started calls `leave` once. */
  startNext(): boolean;
}

export class Lanes {
  #free: number;
  #lanes: Lane[] = [];
  #turn = 0;

  constructor(concurrency: number) {
    this.#free = concurrency;
  }

  add(lane: Lane): void {
    this.#lanes.push(lane);
  }

  remove(lane: Lane): void {
    this.#lanes = this.#lanes.filter((other) => other !== lane);
  }

  /** Something may be waiting. */
  offer(): void {
    let refused = 0;
    while (this.#free > 0 && refused < this.#lanes.length) {
      this.#turn = (this.#turn + 1) % this.#lanes.length;
      // Taken before the start: what is started may end at once.
      this.#free--;
      if ((this.#lanes[this.#turn] as Lane).startNext()) refused = 0;
      else {
        this.#free++;
        refused++;
      }
    }
  }

  /** A started message has been handled. */
  leave(): void {
    this.#free++;
    this.offer();
  }
}
