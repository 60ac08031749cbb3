// Who holds a Lease, decided purely: (what we last saw, the Lease as it stands, the time) → what to do. Invariants: (1) a
// lease of another is taken only when we ourselves have seen it unchanged for its whole duration, by our own monotonic clock,
// so clocks that disagree make no two leaders; (2) we stop leading when we could not renew for `renewDeadlineMs`, which is
// less than the duration; (3) every write carries the version that the decision was made on.
import { at, type KubeObject, textOf } from "./object.ts";

export interface LeaseTimes {
  /** How long others wait before they take over. */
  readonly durationMs: number;
  /** Without a renewal for so long, we no longer lead. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

export const leaseTimes: LeaseTimes = Object.freeze({ durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 });

export interface Seen {
  /** Version of the Lease, or empty where the server gives none. */
  readonly record: string;
  /** Monotonic milliseconds when this record was first seen. */
  readonly since: number;
}

export type LeaseDecision = "create" | "take" | "renew" | "wait";

export function holderOf(lease: KubeObject): string {
  return textOf(at(lease, "spec", "holderIdentity"));
}

/** What is remembered of a Lease: anything that its holder changes. */
export function observe(seen: Seen | null, lease: KubeObject, now: number): Seen {
  const record = `${holderOf(lease)} ${textOf(at(lease, "spec", "renewTime"))} ${lease.metadata.resourceVersion ?? ""}`;
  return seen?.record === record ? seen : { record, since: now };
}

export function decide(lease: KubeObject | null, seen: Seen | null, me: string, now: number, times: LeaseTimes): LeaseDecision {
  if (lease === null) return "create";
  const holder = holderOf(lease);
  if (holder === me) return "renew";
  if (holder === "") return "take";
  const seconds = at(lease, "spec", "leaseDurationSeconds");
  const durationMs = typeof seconds === "number" && seconds > 0 ? seconds * 1000 : times.durationMs;
  return seen !== null && now - seen.since >= durationMs ? "take" : "wait";
}

/** `spec` of the Lease after `decision`. `wallMs` is milliseconds since the epoch, shown to people only. */
export function leaseSpec(decision: "create" | "take" | "renew", lease: KubeObject | null, me: string, wallMs: number, times: LeaseTimes) {
  const time = new Date(wallMs).toISOString().replace("Z", "000Z");
  const changes = Number(at(lease, "spec", "leaseTransitions")) || 0;
  return {
    holderIdentity: me,
    leaseDurationSeconds: Math.ceil(times.durationMs / 1000),
    acquireTime: decision === "renew" ? textOf(at(lease, "spec", "acquireTime")) || time : time,
    renewTime: time,
    leaseTransitions: decision === "take" ? changes + 1 : changes,
  };
}
