// What the API server refused, or why it cannot be reached, as one error. Its message names the request and holds no token.
import { objectOf, textOf } from "./object.ts";

export class KubeError extends Error {
  override readonly name = "KubeError";
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Machine-readable, e.g. `AlreadyExists`, `Conflict`, `Expired`; may be empty. */
  readonly reason: string;
  /** How long the server asks to wait, milliseconds; null when it does not say. */
  readonly retryAfterMs: number | null;

  constructor(status: number, message: string, { reason = "", retryAfterMs = null as number | null, cause = undefined as unknown } = {}) {
    super(message, { cause });
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

const retryAfterMaxMs = 60_000;

/** From an answer that is not 2xx: a `Status` object, mostly. */
export function errorOfAnswer(what: string, status: number, retryAfter: string | undefined, body: Buffer): KubeError {
  const answer = parse(body);
  const seconds = Number(retryAfter);
  const retryAfterMs = retryAfter !== undefined && Number.isFinite(seconds) ? Math.min(Math.max(0, seconds * 1000), retryAfterMaxMs) : null;
  const message = textOf(answer["message"]) || "no reason given";
  return new KubeError(status, `${what}: the Kubernetes API answered ${status}: ${message}`, {
    reason: textOf(answer["reason"]),
    retryAfterMs,
  });
}

export function isStatus(error: unknown, ...statuses: readonly number[]): boolean {
  return error instanceof KubeError && statuses.includes(error.status);
}

/** True where the same request may succeed later: no answer, a busy or restarting server. */
export function isTransient(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 0 || error.status === 429 || error.status >= 500);
}

function parse(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    return objectOf(JSON.parse(body.toString("utf8")));
  } catch {
    return {};
  }
}
