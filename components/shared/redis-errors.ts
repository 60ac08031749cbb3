// What goes wrong with Redis, told apart by what the caller may do next: try again (it was not executed), find out (it may have been), or give up.
import {
  ClientClosedError,
  ClientOfflineError,
  ConnectionTimeoutError,
  DisconnectsClientError,
  ReconnectStrategyError,
  RootNodesUnavailableError,
  SocketClosedUnexpectedlyError,
  SocketTimeoutError,
} from "redis";
import { messageOf } from "../../lib/kit/errors.ts";

/** The server could not be reached, or did not answer in time. */
export class RedisUnavailableError extends Error {
  override readonly name = "RedisUnavailableError";
}

/** Replies of a server that did not execute the command and may soon. */
const laterReplies = /^(LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|ERR max number of clients reached)/;

/** The command has had no effect, and may have one later. */
export function isNotExecuted(error: unknown): boolean {
  return error instanceof ClientOfflineError || (error instanceof Error && laterReplies.test(error.message));
}

const connectionErrors = [
  RedisUnavailableError,
  SocketClosedUnexpectedlyError,
  ClientOfflineError,
  ClientClosedError,
  ConnectionTimeoutError,
  SocketTimeoutError,
  DisconnectsClientError,
  ReconnectStrategyError,
  RootNodesUnavailableError,
];

/** The connection failed; a command in flight may or may not have been executed. */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (connectionErrors.some((kind) => error instanceof kind)) return true;
  const code = (error as NodeJS.ErrnoException).code;
  return code !== undefined && /^E[A-Z]+$|^ERR_(SSL|TLS)|^CERT_|^DEPTH_|^UNABLE_|^SELF_SIGNED/.test(code);
}

/** The server refuses this login: trying again does not help. */
export function isLoginError(error: unknown): boolean {
  return error instanceof Error && /^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password|ERR Client sent AUTH)/.test(error.message);
}

export function isReplyError(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.startsWith(code);
}

/** Redis's own cause behind the library's wrapper. */
export function causeOf(error: unknown): unknown {
  return error instanceof ReconnectStrategyError ? (error.socketError ?? error.originalError) : error;
}

/** What whoever runs the component should look at. */
export function remedyOf(error: unknown): string {
  const text = messageOf(error);
  if (isLoginError(error)) return "check redisUsername and redisPassword";
  if (/certificate|CERT_|SSL|TLS|EPROTO|altnames/i.test(text)) return "check enableTLS and the certificates";
  if (/ENOTFOUND|EAI_AGAIN/.test(text)) return "check the host name in redisHost";
  if (/DB index/.test(text)) return "check redisDB";
  return "check that the server runs and that redisHost, redisPort and enableTLS fit it";
}
