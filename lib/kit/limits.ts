// Named limits: every queue, body, retry and concurrency bound that is not a user's setting, with its unit in the name.

/** Trace and error texts longer than this are cut before they enter a google.rpc ErrorInfo (Dapr's limit). */
export const errorInfoMessageMaxChars = 63;
/** JSON nesting we accept from the wire: deeper is an attack, not data. */
export const jsonMaxDepth = 256;
/** In-flight frames per streamed internal call (bytes buffered per direction before we stop reading). */
export const streamBufferMaxBytes = 256 * 1024;
/** Bytes of body per StreamPayload frame between sidecars (Dapr's 2 KiB is a floor for interop, not a ceiling). */
export const streamFrameMaxBytes = 64 * 1024;
/** A request body up to this size is kept so that a retry can send it again. */
export const replayBufferMaxBytes = 4 * 1024 * 1024;
