// Lists cut into requests of limited size.

/** In order; an item that is larger than the limit goes alone. One list when there is no limit. */
export function bySize<T>(items: readonly T[], bytesOf: (item: T) => number, limitBytes: number): readonly (readonly T[])[] {
  if (limitBytes === Number.POSITIVE_INFINITY) return [items];
  const parts: T[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const bytes = bytesOf(item);
    size += bytes;
    if (size > limitBytes) {
      parts.push([]);
      size = bytes;
    }
    parts.at(-1)?.push(item);
  }
  return parts;
}

/** What a message takes on the wire, its framing aside. */
export function messageBytes({ data, metadata }: { data: Uint8Array; metadata: Readonly<Record<string, string>> }): number {
  let bytes = data.length;
  for (const name in metadata) bytes += Buffer.byteLength(name) + Buffer.byteLength(metadata[name] as string);
  return bytes;
}
