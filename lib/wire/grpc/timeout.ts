// The grpc-timeout header (PROTOCOL-HTTP2.md, "Timeout"): at most eight digits and a unit.

/** A timer of the platform fires at once beyond this, so longer timeouts are cut to it (24.8 days). */
const timerMaxMs = 2 ** 31 - 1;
const digitsMax = 8;

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
const pattern = /^([0-9]{1,8})([HMSmun])$/;

/** Milliseconds, or null when the header is malformed. */
export function parseTimeout(header: string): number | null {
  const match = pattern.exec(header);
  if (match === null) return null;
  return Math.min(Number(match[1]) * (unitMs[match[2] as string] as number), timerMaxMs);
}

/** The header for `timeoutMs`, rounded up so that the other end never gives up before we do. */
export function formatTimeout(timeoutMs: number): string {
  if (!(timeoutMs > 0)) return "0n";
  if (!Number.isInteger(timeoutMs) && timeoutMs < 1000) return `${Math.ceil(timeoutMs * 1000)}u`;
  for (const unit of ["m", "S", "M", "H"]) {
    const count = Math.ceil(timeoutMs / (unitMs[unit] as number));
    if (count < 10 ** digitsMax) return `${count}${unit}`;
  }
  return "99999999H";
}
