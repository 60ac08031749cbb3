// Reading a body whole, where a protocol has no other way; always under a named limit.
import type { Readable } from "node:stream";
import { type ApiError, apiError, type ErrorRow, GrpcCode } from "../../lib/kit/errors.ts";

export const bodyErrors = {
  tooLarge: {
    code: "ERR_BODY_READ",
    http: 413,
    grpc: GrpcCode.RESOURCE_EXHAUSTED,
    message: "body is larger than the limit of {} bytes; raise --max-body-size",
  },
} as const satisfies Record<string, ErrorRow>;

const empty = new Uint8Array(0);

/** The bytes of `body`; 0 as `maxBytes` means no limit. Destroys the stream and rejects with ApiError beyond the limit. */
export async function readBody(body: Uint8Array | Readable | null, maxBytes: number): Promise<Uint8Array> {
  if (body === null) return empty;
  if (body instanceof Uint8Array) {
    if (maxBytes > 0 && body.length > maxBytes) throw bodyTooLarge(maxBytes);
    return body;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop by an error destroys the stream.
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (maxBytes > 0 && size > maxBytes) throw bodyTooLarge(maxBytes);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks, size);
}

function bodyTooLarge(maxBytes: number): ApiError {
  return apiError(bodyErrors.tooLarge, [maxBytes]);
}
