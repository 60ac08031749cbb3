// The tables hold what Go daprd 1.18.3 published for the same requests, ids and times aside.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { complete, type EnvelopeRequest, hasExpired, wrap } from "./cloud-event.ts";

const now = Date.UTC(2026, 10, 22, 14, 56, 31, 999);
const traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function request(data: string | Uint8Array, contentType: string, more: Partial<EnvelopeRequest> = {}): EnvelopeRequest {
  return {
    pubsubName: "mypub",
    topic: "t",
    source: "myapp",
    data: typeof data === "string" ? Buffer.from(data) : data,
    contentType,
    metadata: { "cloudevent.id": "fixed" },
    trace: { traceparent: "", tracestate: "" },
    expiresAt: null,
    now,
    ...more,
  };
}

const untraced = '"topic":"t","traceid":"","traceparent":"","tracestate":"","type":"com.dapr.event.sent"}';

function envelope(data: string, contentType: string): string {
  const attributes = '"id":"fixed","pubsubname":"mypub","source":"myapp","specversion":"1.0","time":"2026-11-22T14:56:31Z"';
  return `{${data},"datacontenttype":"${contentType}",${attributes},${untraced}`;
}

describe("wrap", () => {
  const cases: readonly [string, string | Uint8Array, string, string][] = [
    ["text", "hello", "text/plain", '"data":"hello"'],
    ["JSON with all its digits", '{"a":1234567890123456789,"b":[1.10]}', "application/json", '"data":{"a":1234567890123456789,"b":[1.10]}'],
    ["JSON with charset", '{"a":1}', "application/json; charset=utf-8", '"data":{"a":1}'],
    ["broken JSON as text", '{"a":', "application/json", '"data":"{\\"a\\":"'],
    ["JSON and more", '{"a":1} xx', "application/json", '"data":{"a":1}'],
    ["empty JSON", "", "application/json", '"data":""'],
    ["a vendor's JSON as text", '{"a":1}', "application/vnd.x+json", '"data":"{\\"a\\":1}"'],
    ["bytes", new Uint8Array([0xde, 0xad]), "application/octet-stream", '"data_base64":"3q0="'],
    ["protobuf event", new Uint8Array([1, 2]), "application/cloudevents+protobuf", '"data_base64":"AQI="'],
    ["text that is not UTF-8", new Uint8Array([0x61, 0xff, 0x62]), "text/plain", '"data":"a\ufffdb"'],
    ["XML", "<a/>", "application/xml", '"data":"<a/>"'],
  ];
  for (const [name, data, contentType, member] of cases) {
    it(name, () => assert.equal(wrap(request(data, contentType)), envelope(member, contentType)));
  }

  it("has text/plain as its content type when none is given", () => {
    assert.equal(wrap(request("hello", "")), envelope('"data":"hello"', "text/plain"));
  });

  it("takes overrides from metadata, in any case, and not for data, topic or content type", () => {
    const metadata = {
      "cloudevent.id": "I",
      "CloudEvent.Source": "S",
      "cloudevent.type": "T",
      "cloudevent.subject": "SUB",
      "cloudevent.traceid": "TI",
      "cloudevent.tracestate": "TS",
      "cloudevent.data": "no",
      "cloudevent.topic": "no",
      "cloudevent.__proto__": "no",
    };
    assert.deepEqual(JSON.parse(wrap(request("1", "application/json", { metadata }))), {
      data: 1,
      datacontenttype: "application/json",
      id: "I",
      pubsubname: "mypub",
      source: "S",
      specversion: "1.0",
      subject: "SUB",
      time: "2026-11-22T14:56:31Z",
      topic: "t",
      traceid: "TI",
      traceparent: "TI",
      tracestate: "TS",
      type: "T",
    });
  });

  it("lets an overriding traceparent win over traceid, and empty overrides mean the defaults", () => {
    const metadata = {
      "cloudevent.traceparent": traced,
      "cloudevent.traceid": "x",
      "cloudevent.id": "",
      "cloudevent.source": "",
      "cloudevent.type": "",
    };
    const event = JSON.parse(wrap(request('"s"', "application/json", { metadata })));
    assert.deepEqual([event.traceid, event.traceparent, event.source, event.type], [traced, traced, "Dapr", "com.dapr.event.sent"]);
    assert.match(event.id, /^[0-9a-f-]{36}$/);
  });

  it("carries the trace and the expiration", () => {
    const trace = { traceparent: traced, tracestate: "a=b" };
    const event = JSON.parse(wrap(request("x", "text/plain", { trace, expiresAt: now + 60_000 })));
    assert.deepEqual(
      [event.traceid, event.traceparent, event.tracestate, event.expiration],
      [traced, traced, "a=b", "2026-11-22T14:57:31Z"],
    );
  });

  it("is JSON whatever it is given, with the text unharmed", () => {
    const string = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(string, string, string, string, (data, topic, pubsubName, type) => {
        const event = JSON.parse(
          wrap(request(Buffer.from(data), "text/plain", { topic, pubsubName, metadata: { "cloudevent.type": type } })),
        );
        assert.deepEqual([event.data, event.topic, event.pubsubname], [Buffer.from(data).toString(), topic, pubsubName]);
      }),
    );
    fc.assert(
      fc.property(fc.json({ noUnicodeString: false }), (data) => {
        const event = JSON.parse(wrap(request(data, "application/json")));
        assert.deepEqual(event.data, JSON.parse(data));
      }),
    );
  });
});

describe("complete", () => {
  const event = (data: string, more: Partial<EnvelopeRequest> = {}) =>
    JSON.parse(complete(request(data, "application/cloudevents+json", more)) ?? "null") as unknown;
  const time = "2026-11-22T14:56:31Z";
  const own = { pubsubname: "mypub", topic: "t" };
  const defaults = { source: "Dapr", specversion: "1.0", type: "com.dapr.event.sent" };

  it("adds what is missing", () => {
    assert.deepEqual(event("{}"), { ...own, ...defaults, time, traceid: "", traceparent: "", tracestate: "" });
  });

  it("keeps what is there, digit for digit", () => {
    const text =
      '{"specversion":"1.0","id":"x1","source":"s","type":"ty","data":{"n":12345678901234567890},"ext":1.50,"traceid":7,"__proto__":{"x":1}}';
    const completed = complete(request(text, "application/cloudevents+json")) ?? "";
    for (const part of ['"data":{"n":12345678901234567890}', '"ext":1.50', '"traceid":7', '"__proto__":{"x":1}', '"id":"x1"']) {
      assert.ok(completed.includes(part), part);
    }
    assert.ok(!completed.includes("traceparent"));
  });

  it("replaces null source, type and specversion, and always topic and pubsubname", () => {
    assert.deepEqual(event('{"source":null,"type":null,"specversion":null,"traceid":null,"time":null,"topic":"zz","pubsubname":"q"}'), {
      ...own,
      ...defaults,
      traceid: null,
      time: null,
      tracestate: "",
    });
  });

  it("takes the request's trace, and without one keeps the event's own traceparent", () => {
    const given = event('{"traceparent":"mine"}', { trace: { traceparent: traced, tracestate: "" } }) as Record<string, unknown>;
    assert.deepEqual([given["traceid"], given["traceparent"]], [traced, traced]);
    const kept = event('{"traceparent":"mine"}') as Record<string, unknown>;
    assert.deepEqual([kept["traceid"], kept["traceparent"]], ["mine", "mine"]);
  });

  it("refuses what is not a JSON object", () => {
    for (const text of ["", "null", "[1]", '"x"', "{", '{"}'])
      assert.equal(complete(request(text, "application/cloudevents+json")), null, text);
  });
});

it("only an RFC 3339 time in the past has expired", () => {
  const cases: readonly [unknown, boolean][] = [
    ["2026-11-22T14:56:30Z", true],
    ["2026-11-22T15:56:31.5+01:00", true],
    ["2026-11-22T14:56:32Z", false],
    ["2026", false],
    ["", false],
    [12, false],
    [null, false],
    [undefined, false],
    [{}, false],
  ];
  for (const [expiration, expected] of cases) assert.equal(hasExpired(expiration, now), expected, String(expiration));
});
