// Kubernetes resource quantities ("4Mi", "1e3", "500k") read as a number of bytes.
// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
import type { Read } from "./go-text.ts";

const shape = /^([+-]?)([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/;
const decimalExponents: ReadonlyMap<string, number> = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);
const binaryShifts: ReadonlyMap<string, bigint> = new Map([
  ["Ki", 10n],
  ["Mi", 20n],
  ["Gi", 30n],
  ["Ti", 40n],
  ["Pi", 50n],
  ["Ei", 60n],
]);
const bytesMax = 2n ** 63n - 1n;
/** Beyond this many decimal places either way nothing fits 63 bits, and powers of ten would only cost time. */
const exponentMax = 64;
const textMaxChars = 64;

/** Whole bytes, possibly negative. Fractions of a byte and more than 63 bits are errors. */
export function readQuantityBytes(text: string): Read<number> {
  const match = text.length <= textMaxChars ? shape.exec(text) : null;
  const digits = match?.[2] ?? "";
  if (!match || !/^(\d+\.?\d*|\.\d+)$/.test(digits)) {
    return { ok: false, reason: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'" };
  }
  const scale = scaleOf(match[3] as string);
  if (!scale) return { ok: false, reason: "unable to parse quantity's suffix" };
  const [whole = "", fraction = ""] = digits.split(".");
  const mantissa = BigInt(whole + fraction) << scale.shift;
  const bytes = mantissa === 0n ? 0n : scaled(mantissa, scale.exponent - fraction.length);
  if (bytes === null || bytes > bytesMax) {
    return { ok: false, reason: `cannot get bytes from resource quantity value '${text}': it is not a whole number of bytes below 2^63` };
  }
  return { ok: true, value: Number(match[1] === "-" ? -bytes : bytes) };
}

function scaleOf(suffix: string): { readonly exponent: number; readonly shift: bigint } | null {
  const shift = binaryShifts.get(suffix);
  if (shift !== undefined) return { exponent: 0, shift };
  const named = decimalExponents.get(suffix);
  if (named !== undefined) return { exponent: named, shift: 0n };
  return /^[eE][+-]?\d+$/.test(suffix) ? { exponent: Number(suffix.slice(1)), shift: 0n } : null;
}

function scaled(mantissa: bigint, exponent: number): bigint | null {
  if (Math.abs(exponent) > exponentMax + textMaxChars) return null;
  if (exponent >= 0) return mantissa * 10n ** BigInt(exponent);
  const divisor = 10n ** BigInt(-exponent);
  return mantissa % divisor === 0n ? mantissa / divisor : null;
}
