// Who may call what, as the ways into the app ask it.
import type { GrpcCall } from "../../lib/wire/grpc/types.ts";

/**
 * Throws PERMISSION_DENIED when the other end of `call` may not have `operation` (normalised, as it is dispatched) done.
 * `verb` is the HTTP method, or NONE.
 */
export type Authorize = (call: GrpcCall, operation: string, verb: string) => void;
