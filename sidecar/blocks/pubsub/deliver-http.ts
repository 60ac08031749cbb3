// One event to an HTTP app: POST to the route, the event as body, the message's metadata as headers.
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { parseTraceparent } from "../../../lib/telemetry/trace-context.ts";
import { httpName, newHeaders } from "../../contract/invoke-headers.ts";
import type { AppChannel, AppRequest, HeaderLists } from "../../contract/ports.ts";
import { readBody } from "../../contract/read-body.ts";
import { type Event, type Fields, stringField, traceField, zeroTraceparent } from "./event.ts";
import { type Outcome, RetryError } from "./outcome.ts";

/** Characters of an app's answer that are quoted in a log line. */
const quotedMaxChars = 1000;

/** Rejects with RetryError when the message shall come again. */
export async function deliverHttp(
  channel: AppChannel,
  event: Event,
  path: string,
  log: Logger,
  maxBodyBytes: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const { status, body } = await post(channel, requestOf(event, path), maxBodyBytes, signal);
  const id = stringField(event.fields, "id");
  if (status >= 200 && status <= 299) return outcomeOf(statusOf(body), id, log);
  const text = Buffer.from(body).toString("utf8", 0, quotedMaxChars);
  if (status === 404) {
    log.error(`non-retriable error returned from app while processing pub/sub event ${id}: ${text}. status code returned: ${status}`);
    return "drop";
  }
  const message = `retriable error returned from app while processing pub/sub event ${id}, topic: ${event.topic}, body: ${text}. status code returned: ${status}`;
  log.warn(message);
  throw new RetryError(message, { http: status });
}

/** Rejects with a RetryError when the app cannot be reached. */
export async function post(
  channel: AppChannel,
  request: AppRequest,
  maxBodyBytes: number,
  signal: AbortSignal,
): Promise<{ status: number; body: Uint8Array }> {
  try {
    const response = await channel.invoke(request, signal);
    return { status: response.status, body: await readBody(response.body, maxBodyBytes) };
  } catch (error) {
    throw new RetryError(`error returned from app channel while sending pub/sub event to app: ${messageOf(error)}`, {}, error);
  }
}

function requestOf(event: Event, path: string): AppRequest {
  return eventRequest(path, headersOf(event), "application/cloudevents+json", event.body);
}

/** A POST to the path of a route, which may have a query. */
export function eventRequest(path: string, headers: HeaderLists, contentType: string, body: Uint8Array): AppRequest {
  const mark = path.indexOf("?");
  const method = mark < 0 ? path : path.slice(0, mark);
  return {
    verb: "POST",
    method: method.startsWith("/") ? method.slice(1) : method,
    query: mark < 0 ? "" : path.slice(mark + 1),
    headers,
    contentType,
    body,
    contentLength: body.length,
    call: "event",
  };
}

const headerName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what a header value must not have
const headerValue = /^[^\0-\x08\x0a-\x1f\x7f]*$/;
/** The transport's, the app's credential, and what this sidecar says itself. */
const reserved: ReadonlySet<string> = new Set(["host", "expect", "content-type", "content-length", "dapr-api-token", "dapr-app-id"]);

/** Metadata that a header cannot carry is left out: a publisher must not be able to break, or to shape, the subscriber's request. */
function headersOf(event: Event): HeaderLists {
  const headers = newHeaders();
  for (const [key, value] of Object.entries(event.metadata)) {
    const name = key.toLowerCase();
    if (reserved.has(name) || !headerName.test(name) || !headerValue.test(value) || httpName(name) === null) continue;
    // Bytes of the UTF-8 form, one character each, is how HTTP libraries take text beyond ASCII.
    headers[name] = [Buffer.from(value).toString("latin1")];
  }
  setPubSubName(headers, event.pubsubName);
  setTrace(headers, event.fields);
  return headers;
}

/** The event's trace; a malformed one as zeros. */
export function setTrace(headers: Record<string, readonly string[]>, fields: Fields): void {
  const traceparent = traceField(fields);
  if (traceparent === undefined) return;
  const tracestate = stringField(fields, "tracestate");
  const valid = parseTraceparent(traceparent, undefined) !== null;
  headers["traceparent"] = [valid ? traceparent : zeroTraceparent];
  if (valid && tracestate !== "" && /^[\x20-\x7e]+$/.test(tracestate)) headers["tracestate"] = [tracestate];
}

export function setPubSubName(headers: Record<string, readonly string[]>, name: string): void {
  if (headerValue.test(name)) headers["pubsubname"] = [Buffer.from(name).toString("latin1")];
}

/** The `status` of the answer, whatever its case; "" when the answer says nothing. */
function statusOf(body: Uint8Array): string {
  if (body.length === 0) return "";
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(body).toString());
  } catch {
    return "";
  }
  if (typeof value !== "object" || value === null) return "";
  const member = Object.entries(value).findLast(([name]) => name.toLowerCase() === "status")?.[1];
  return typeof member === "string" ? member : "";
}

function outcomeOf(status: string, id: string, log: Logger): Outcome {
  switch (status) {
    case "":
    case "SUCCESS":
      return "success";
    case "RETRY":
      throw new RetryError(`RETRY status returned from app while processing pub/sub event ${id}`);
    case "DROP":
      log.warn(`DROP status returned from app while processing pub/sub event ${id}`);
      return "drop";
    default:
      throw new RetryError(`unknown status returned from app while processing pub/sub event ${id}, status: ${status}`);
  }
}
