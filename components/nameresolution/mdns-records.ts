// What a sidecar says on multicast DNS and how it reads others (inventory §4.2): the service type is the app id, the
// instance is host and process, the text repeats the app id. Pure.
import { type DnsMessage, type DnsRecord, encodeMessage, type Question, RecordType } from "../shared/dns-message.ts";

export interface Announced {
  readonly appId: string;
  readonly host: string;
  readonly port: number;
  readonly hostName: string;
  readonly pid: number;
}

/** Seconds; what other implementations announce, too. */
const recordTtlSeconds = 3200;
const addressTtlSeconds = 120;
const enumeration = "_services._dns-sd._udp.local.";

export function serviceName(appId: string): string {
  return `${escaped(appId)}.local.`;
}

function escaped(label: string): string {
  return label.replace(/[.\\]/g, "\\$&");
}

/** A service as its responder keeps it. */
export interface Service {
  readonly name: string;
  readonly instance: string;
  /** The unsolicited announcement. */
  readonly announcement: Buffer;
  readonly goodbye: Buffer;
  /** The answer to a question, or null when it is about something else. */
  answer(questions: readonly Question[]): Buffer | null;
}

export function compileService(announced: Announced): Service {
  const name = serviceName(announced.appId);
  const instance = `${escaped(`${announced.hostName}:${announced.pid}`)}.${name}`;
  const hostName = `${announced.hostName.replace(/\.local\.?$/, "").replace(/\.$/, "")}.local.`;
  const all = (ttlSeconds: number, flush: boolean): DnsRecord[] => [
    { type: RecordType.PTR, name, ttlSeconds, flush: false, target: instance },
    { type: RecordType.SRV, name: instance, ttlSeconds, flush, port: announced.port, target: hostName },
    { type: RecordType.TXT, name: instance, ttlSeconds, flush, texts: [announced.appId] },
    {
      type: announced.host.includes(":") ? RecordType.AAAA : RecordType.A,
      name: hostName,
      // Several sidecars of one host share its name: none may flush another's address.
      ttlSeconds: Math.min(ttlSeconds, addressTtlSeconds),
      flush: false,
      address: announced.host,
    },
  ];
  const listing: DnsRecord = { type: RecordType.PTR, name: enumeration, ttlSeconds: recordTtlSeconds, flush: false, target: name };
  const response = (records: DnsRecord[]) => encodeMessage({ isResponse: true, questions: [], records });
  const answers = new Map([
    [name, response(all(recordTtlSeconds, false))],
    [instance, response(all(recordTtlSeconds, true))],
    [enumeration, response([listing])],
  ]);
  return {
    name,
    instance,
    announcement: response([...all(recordTtlSeconds, true), listing]),
    goodbye: response(all(0, true)),
    answer(questions) {
      for (const question of questions) {
        const answer = answers.get(question.name);
        if (answer) return answer;
      }
      return null;
    },
  };
}

export function browseQuery(appId: string): Buffer {
  return encodeMessage({ isResponse: false, questions: [{ name: serviceName(appId), type: RecordType.PTR }], records: [] });
}

export interface Sighting {
  readonly appId: string;
  /** `host:port`. */
  readonly address: string;
  /** The sidecar says goodbye. */
  readonly gone: boolean;
}

/** The sidecars that a response tells of. */
export function readSightings(message: DnsMessage): readonly Sighting[] {
  if (!message.isResponse) return [];
  const texts = new Map<string, string>();
  const hosts = new Map<string, string>();
  for (const record of message.records) {
    if (record.type === RecordType.TXT && record.texts.length === 1) texts.set(record.name, record.texts[0] as string);
    // IPv4 goes first where a host has both, as with Dapr.
    else if (record.type === RecordType.A) hosts.set(record.name, record.address);
    else if (record.type === RecordType.AAAA && !hosts.has(record.name)) hosts.set(record.name, `[${record.address}]`);
  }
  const sightings: Sighting[] = [];
  for (const record of message.records) {
    if (record.type !== RecordType.SRV) continue;
    const appId = texts.get(record.name);
    const host = hosts.get(record.target);
    if (appId === undefined || host === undefined || !record.name.endsWith(`.${serviceName(appId)}`)) continue;
    sightings.push({ appId, address: `${host}:${record.port}`, gone: record.ttlSeconds === 0 });
  }
  return sightings;
}
