// The lock kind (inventory §5.6): a lease on a resource that one owner holds until it gives it back or the lease expires.
// Fencing: there is no token. A holder that is paused for longer than its lease has lost it without being told, and a second
// holder may be at work; what must not be done twice has to be guarded by the resource itself, for example by an etag.
import type { Driver } from "../driver.ts";

export interface TryLockRequest {
  readonly resourceId: string;
  readonly owner: string;
  /** Greater than zero. */
  readonly expirySeconds: number;
}

export interface UnlockRequest {
  readonly resourceId: string;
  readonly owner: string;
}

/** Dapr's statuses of an unlock, besides the internal error that a rejection is. */
export type UnlockStatus = "success" | "lock-does-not-exist" | "lock-belongs-to-others";

export interface LockStore extends Driver {
  /** True when the owner now holds the lock; false, without waiting, when anybody holds it, the same owner included. */
  tryLock(request: TryLockRequest, signal: AbortSignal): Promise<boolean>;
  unlock(request: UnlockRequest, signal: AbortSignal): Promise<UnlockStatus>;
}
