// Resources that were told of without a secret, because it was not there: looked at again until it is, then told anew, so that
// the order in which a user applies a Secret and what refers to it makes no difference.
import { type Clock, sleep } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import { type KubeObject, keyOf } from "../../lib/kube/object.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { type Catalogue, type Kind, kindOf, kinds } from "./catalogue.ts";
import type { Renderer } from "./render.ts";

export interface UnresolvedOptions {
  readonly catalogue: Pick<Catalogue, "current" | "tellAgain">;
  readonly renderer: Pick<Renderer, "isResolved">;
  readonly clock: Clock;
  readonly log: Logger;
}

const lookEveryMs = 5_000;
const waitingMax = 10_000;

export class UnresolvedResources {
  readonly #waiting = new Map<string, { readonly kind: Kind; readonly object: KubeObject }>();

  add(object: KubeObject): void {
    const kind = kindOf(object);
    if (kind !== null && this.#waiting.size < waitingMax) this.#waiting.set(`${kind} ${keyOf(object)}`, { kind, object });
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves when the signal has aborted. */
  async run(options: UnresolvedOptions, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(options.clock, lookEveryMs, signal).catch(ignore);
      for (const [key, { kind, object }] of [...this.#waiting]) {
        if (signal.aborted) return;
        await this.#look(key, kind, object, options).catch((error: unknown) => {
          if (!signal.aborted) options.log.debug(`${key}: its secrets cannot be looked at: ${messageOf(error)}`);
        });
      }
    }
  }

  async #look(key: string, kind: Kind, object: KubeObject, { catalogue, renderer, log }: UnresolvedOptions): Promise<void> {
    const { namespace = "", name = "" } = object.metadata;
    const current = catalogue.current(kind, namespace, name);
    // Gone; or changed, and then told of with whatever it refers to now.
    if (current !== object) {
      this.#waiting.delete(key);
      return;
    }
    if (!(await renderer.isResolved(object, kinds[kind].secrets))) return;
    this.#waiting.delete(key);
    log.info(`${kinds[kind].resource.kind} ${keyOf(object)}: its secrets are there now`);
    catalogue.tellAgain(kind, object);
  }
}

function ignore(): void {}
