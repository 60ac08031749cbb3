// Errors of the health block (inventory §1.7).
import { type ErrorRow, GrpcCode } from "../../../lib/kit/errors.ts";

export const healthErrors = {
  notReady: { code: "ERR_HEALTH_NOT_READY", http: 500, grpc: GrpcCode.INTERNAL, message: "dapr is not ready: [{}]" },
  outboundNotReady: { code: "ERR_OUTBOUND_HEALTH_NOT_READY", http: 500, grpc: GrpcCode.INTERNAL, message: "dapr outbound is not ready" },
  appIdMismatch: { code: "ERR_HEALTH_APPID_NOT_MATCH", http: 500, grpc: GrpcCode.INTERNAL, message: "dapr app-id does not match" },
} as const satisfies Record<string, ErrorRow>;
