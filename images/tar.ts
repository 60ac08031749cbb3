// Writes tar archives (POSIX ustar) that are the same bytes for the same entries: no times, no names of users.
// https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06

export type TarEntry =
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | { readonly kind: "folder"; readonly path: string; readonly mode: number };

const block = 512;
const nameMaxBytes = 100;
const prefixMaxBytes = 155;
const types = { file: "0", link: "2", folder: "5" } as const;

/** Entries in the given order; folders must come before what is in them. Throws for a path that does not fit. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    parts.push(headerOf(entry));
    if (entry.kind !== "file") continue;
    parts.push(entry.bytes, Buffer.alloc((block - (entry.bytes.length % block)) % block));
  }
  parts.push(Buffer.alloc(2 * block));
  return Buffer.concat(parts);
}

function headerOf(entry: TarEntry): Buffer {
  const header = Buffer.alloc(block);
  const { name, prefix } = splitPath(entry.kind === "folder" ? `${entry.path}/` : entry.path);
  const size = entry.kind === "file" ? entry.bytes.length : 0;
  header.write(name, 0);
  header.write(octal(entry.kind === "link" ? 0o777 : entry.mode, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(0, 12), 136);
  header.write(types[entry.kind], 156);
  if (entry.kind === "link") header.write(entry.target, 157, nameMaxBytes);
  header.write("ustar\u000000", 257, "latin1");
  header.write(prefix, 345);
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

function octal(value: number, width: number): string {
  const digits = value.toString(8).padStart(width - 1, "0");
  if (digits.length >= width) throw new RangeError(`${value} does not fit a tar header`);
  return `${digits}\0`;
}

function splitPath(path: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(path) <= nameMaxBytes) return { name: path, prefix: "" };
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
    const name = path.slice(slash + 1);
    const prefix = path.slice(0, slash);
    if (name !== "" && Buffer.byteLength(name) <= nameMaxBytes && Buffer.byteLength(prefix) <= prefixMaxBytes) return { name, prefix };
  }
  throw new RangeError(`${path} is too long for a tar header`);
}
