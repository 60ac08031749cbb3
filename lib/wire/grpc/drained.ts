// Waiting for a stream that was told to pause.
import { EventEmitter } from "node:events";
import type { Http2Stream } from "node:http2";

/** Resolves when the transport takes more, or the stream is over. */
export function drained(stream: Http2Stream): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      stream.off("drain", settle);
      stream.off("close", settle);
      resolve();
    };
    stream.on("drain", settle);
    stream.on("close", settle);
    if (stream.destroyed) settle();
  });
}

/** Writes a frame whose last bytes are in a buffer of their own, as one. False when the transport wants a pause. */
export function writeFrame(stream: Http2Stream, frame: Buffer, tail: Uint8Array | null): boolean {
  if (tail === null) return stream.write(frame);
  stream.cork();
  stream.write(frame);
  const more = stream.write(tail);
  stream.uncork();
  return more;
}

/** The same, and then the end of this direction. */
export function endWithFrame(stream: Http2Stream, frame: Buffer | null, tail: Uint8Array | null): void {
  if (frame === null) stream.end();
  else if (tail === null) stream.end(frame);
  else {
    stream.cork();
    stream.write(frame);
    stream.end(tail);
  }
}

/**
 * Cuts a closed stream off from its call. node:http2's native side keeps the stream object until a full collection, and
 * with it everything that listens to it.
 */
export function letGo(stream: Http2Stream): void {
  EventEmitter.prototype.removeAllListeners.call(stream);
  stream.on("error", ignore);
}

function ignore(): void {}
