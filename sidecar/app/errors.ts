// What a call to the user's app can fail with before the app has answered.
import { type ErrorRow, GrpcCode } from "../../lib/kit/errors.ts";

export const appErrors = {
  unhealthy: { code: "ERR_INTERNAL", http: 500, grpc: GrpcCode.INTERNAL, message: "app is not in a healthy state" },
  noHttpExtension: { code: "ERR_BAD_REQUEST", http: 400, grpc: GrpcCode.INVALID_ARGUMENT, message: "missing HTTP extension field" },
  invalidVerb: { code: "ERR_BAD_REQUEST", http: 400, grpc: GrpcCode.INVALID_ARGUMENT, message: "invalid HTTP verb" },
  invalidMethod: { code: "ERR_BAD_REQUEST", http: 400, grpc: GrpcCode.INVALID_ARGUMENT, message: "invalid method: {}" },
  unreachable: {
    code: "ERR_INTERNAL",
    http: 500,
    grpc: GrpcCode.UNAVAILABLE,
    message: '{} "{}": {}; check that the app is running and that --app-port, --app-protocol and --app-channel-address match it',
  },
  brokenOff: { code: "ERR_INTERNAL", http: 500, grpc: GrpcCode.UNAVAILABLE, message: '{} "{}": {}' },
} as const satisfies Record<string, ErrorRow>;
