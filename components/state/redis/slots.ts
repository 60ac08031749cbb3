// The slots of a Redis cluster (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model):
// a script may only touch keys of one.
import type { TransactionOperation } from "../store.ts";

const slots = 16_384;

/** The operations grouped by the slot of their keys; within a group the order is kept. */
export function bySlot(operations: readonly TransactionOperation[]): readonly (readonly TransactionOperation[])[] {
  const groups = Map.groupBy(operations, ({ request }) => slotOf(request.key));
  return [...groups.values()];
}

export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = open < 0 ? -1 : key.indexOf("}", open + 1);
  return crc16(Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)) % slots;
}

/** CRC-16/XMODEM. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}
