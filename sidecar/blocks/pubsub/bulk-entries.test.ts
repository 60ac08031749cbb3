import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MismatchError, type PublishEntry, readEntries, UnreadableError } from "./bulk-entries.ts";

function shown({ contentType, data, entryId, metadata }: PublishEntry) {
  return [entryId, Buffer.from(data).toString(), contentType, { ...metadata }];
}

describe("the body of a bulk publish", () => {
  it("gives events by content type, JSON digit for digit, names in any case", () => {
    const body = `[
      {"entryId":"1","event":{"n":12345678901234567890, "a":1},"contentType":"application/json"},
      {"EntryID":"2","Event":"text","ContentType":"text/plain; charset=utf-8","metadata":{"k":"v","__proto__":"x"}},
      {"entryId":"3","event":"aGk=","contentType":"application/octet-stream"},
      {"entryId":"4","event":"<a/>","contentType":"application/xml"},
      {"entryId":"5","event":{"id":"x"},"contentType":"application/cloudevents+json"},
      {"entryId":"6","contentType":"application/json"}] trailing`;
    const entries = readEntries(body);
    assert.deepEqual(entries.map(shown), [
      ["1", '{"n":12345678901234567890, "a":1}', "application/json", {}],
      ["2", "text", "text/plain; charset=utf-8", { k: "v", ["__proto__"]: "x" }],
      ["3", "hi", "application/octet-stream", {}],
      ["4", "<a/>", "application/xml", {}],
      ["5", '{"id":"x"}', "application/cloudevents+json", {}],
      ["6", "null", "application/json", {}],
    ]);
    assert.deepEqual(readEntries("[]"), []);
    assert.deepEqual(readEntries(" null "), []);
  });

  const unreadable: readonly [string, string][] = [
    ["", "EOF"],
    ['{"entryID": "}', "unexpected EOF"],
    ['[{"entryId":', "unexpected EOF"],
    ['{"entryID": ""}', "json: cannot unmarshal object into Go value of type []http.bulkPublishMessageEntry"],
    ["5", "json: cannot unmarshal number into Go value of type []http.bulkPublishMessageEntry"],
    ["[1]", "json: cannot unmarshal number into Go value of type http.bulkPublishMessageEntry"],
    ['[{"entryId":1}]', "json: cannot unmarshal number into Go struct field bulkPublishMessageEntry.entryId of type string"],
    [
      '[{"contentType":"application/json","metadata":{"a":1}}]',
      "json: cannot unmarshal number into Go struct field bulkPublishMessageEntry.metadata of type string",
    ],
  ];
  for (const [body, message] of unreadable) {
    it(`is refused: ${body}`, () => assert.throws(() => readEntries(body), new UnreadableError(message)));
  }

  const mismatches = [
    '[{"entryId":"1","event":{"a":1},"contentType":"text/plain"}]',
    '[{"entryId":"1","event":"%%","contentType":"application/octet-stream"}]',
    '[{"entryId":"1","event":1,"contentType":"application/octet-stream"}]',
    '[{"entryId":"1","event":"a"}]',
    '[{"entryId":"1","event":"a","contentType":"foo/bar"}]',
    "[null]",
  ];
  for (const body of mismatches) {
    it(`does not fit its content type: ${body}`, () => assert.throws(() => readEntries(body), MismatchError));
  }

  it("any JSON is read or refused, and events come through as they are", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        try {
          readEntries(text);
        } catch (error) {
          assert.ok(error instanceof UnreadableError || error instanceof MismatchError);
        }
        const item = `{"entryId":"1","contentType":"application/json","event":${text}}`;
        const [one, two] = readEntries(`[${item},${item}]`);
        assert.deepEqual([Buffer.from(one?.data ?? "").toString(), Buffer.from(two?.data ?? "").toString()], [text, text]);
      }),
    );
  });
});
