// The key set of the jwks validator: written out in the settings, a file that is read again when it changes, or a URL. A
// URL is asked again when a token names a key that is not in the set, so that keys can be rotated, but never more often
// than the least interval, however many such tokens come. Bad content never replaces good.
import { readFile } from "node:fs/promises";
import { get as getHttp, type IncomingMessage } from "node:http";
import { get as getHttps } from "node:https";
import { type Clock, sleep } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import { readCertificatesPem } from "../../lib/security/x509/read-certificate.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { readKeySet, type VerificationKey } from "../jwt/jwk.ts";

export interface KeySourceSettings {
  readonly source: string;
  /** Path or PEM; empty: the system's. */
  readonly caCertificate: string;
  /** 0: ten minutes. */
  readonly minRefreshIntervalMs: number;
  /** 0: thirty seconds. */
  readonly requestTimeoutMs: number;
}

export interface KeySource {
  /** Null until the first success. */
  readonly keys: readonly VerificationKey[] | null;
  /** Loads for the first time, trying again until it succeeds or `signal` aborts. */
  start(signal: AbortSignal): Promise<void>;
  /** Loads again if that is allowed now; resolves either way. */
  refresh(): Promise<void>;
}

const minRefreshDefaultMs = 600_000;
const requestTimeoutDefaultMs = 30_000;
const retryMs = 5_000;
/** A file costs little to read, but a flood of bad tokens must not become a flood of readings. */
const fileRefreshMs = 1_000;
const bodyMaxBytes = 1024 * 1024;

export function createKeySource(settings: KeySourceSettings, clock: Clock, log: Logger): KeySource {
  const { source } = settings;
  const url = /^https?:\/\//.test(source);
  if (source.startsWith("http://")) {
    log.warn("Loading JWK from an HTTP endpoint without TLS: this is not recommended on production environments.");
  }
  const minIntervalMs = url ? settings.minRefreshIntervalMs || minRefreshDefaultMs : fileRefreshMs;
  return new LoadedKeys(url ? () => fetchText(settings) : () => readTextOrSource(source), minIntervalMs, clock, log);
}

class LoadedKeys implements KeySource {
  keys: readonly VerificationKey[] | null = null;
  readonly #load: () => Promise<string>;
  readonly #minIntervalMs: number;
  readonly #clock: Clock;
  readonly #log: Logger;
  #text = "";
  #loadedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | null = null;

  constructor(load: () => Promise<string>, minIntervalMs: number, clock: Clock, log: Logger) {
    this.#load = load;
    this.#minIntervalMs = minIntervalMs;
    this.#clock = clock;
    this.#log = log;
  }

  async start(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#reload();
      if (this.keys !== null) return;
      await sleep(this.#clock, retryMs, signal);
    }
  }

  async refresh(): Promise<void> {
    if (this.#loading === null && this.#clock.monotonic() - this.#loadedAt < this.#minIntervalMs) return;
    this.#loading ??= this.#reload().finally(() => {
      this.#loading = null;
    });
    await this.#loading;
  }

  async #reload(): Promise<void> {
    this.#loadedAt = this.#clock.monotonic();
    try {
      const text = await this.#load();
      if (text === this.#text) return;
      this.keys = readKeySet(text);
      this.#text = text;
    } catch (error) {
      this.#log.warn(`Error while refreshing JWKS cache: ${messageOf(error)}`);
    }
  }
}

async function readTextOrSource(source: string): Promise<string> {
  const trimmed = source.trim();
  if (trimmed.startsWith("{")) return trimmed;
  try {
    return await readFile(source, "utf8");
  } catch (error) {
    const decoded = Buffer.from(trimmed, "base64").toString("utf8");
    if (decoded.trimStart().startsWith("{")) return decoded;
    throw new Error(`the source is no URL, no readable file and no key set: ${(error as NodeJS.ErrnoException).code ?? "unreadable"}`);
  }
}

async function fetchText({ source, caCertificate, requestTimeoutMs }: KeySourceSettings): Promise<string> {
  const ca = caCertificate === "" ? undefined : await caPem(caCertificate);
  const signal = AbortSignal.timeout(requestTimeoutMs || requestTimeoutDefaultMs);
  const headers = { accept: "application/json" };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = source.startsWith("https://")
      ? getHttps(source, { agent: false, headers, signal, minVersion: "TLSv1.2", ...(ca === undefined ? {} : { ca }) }, resolve)
      : getHttp(source, { agent: false, headers, signal }, resolve);
    request.on("error", reject);
  });
  if (response.statusCode !== 200) {
    response.destroy();
    throw new Error(`the server of the key set answered ${response.statusCode}`);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bodyMaxBytes) throw new Error(`the key set has more than ${bodyMaxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function caPem(pathOrPem: string): Promise<string> {
  const pem = pathOrPem.includes("-----BEGIN") ? pathOrPem : await readFile(pathOrPem, "utf8");
  readCertificatesPem(pem);
  return pem;
}
