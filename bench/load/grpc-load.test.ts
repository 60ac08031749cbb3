import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { GrpcWork } from "../works.ts";
import { grpcLoad } from "./grpc-load.ts";

const work: GrpcWork = {
  kind: "grpc",
  name: "work",
  path: "/bench.App/Hello",
  body: Buffer.concat([Buffer.of(0, 0, 0, 0x30, 0), Buffer.alloc(0x3000)]),
  metadata: { "dapr-app-id": "far" },
  tls: false,
  rate: 1,
};
const shape = { connections: 2, streams: 3 };

async function withServer<T>(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer) => void,
  use: (port: number) => Promise<T>,
): Promise<T> {
  const server = createServer().on("stream", (stream, headers) => {
    const parts: Buffer[] = [];
    stream.on("error", () => {}).on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => onStream(stream as ServerHttp2Stream, headers, Buffer.concat(parts)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** A message of `bytes`, then status 0. */
function answer(stream: ServerHttp2Stream, bytes: number): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(Buffer.alloc(bytes));
}

function withoutTrailers(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200 });
  stream.end(Buffer.alloc(5));
}

test("every call has the fields of a gRPC client and its whole body, the first and the later ones alike", async () => {
  const seen: string[] = [];
  let served = 0;
  const record = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer) => {
    served++;
    seen.push(JSON.stringify([headers, body.equals(work.body)]));
    answer(stream, 5);
  };
  await withServer(record, async (port) => {
    const { requests, seconds } = await grpcLoad(work, port, 0.3, shape);
    // More than the server's window holds at once.
    assert.ok(requests > 20, `${requests} calls`);
    assert.ok(served >= requests && served <= requests + shape.connections * shape.streams);
    assert.ok(seconds >= 0.29);
    const [only, ...others] = [...new Set(seen)];
    assert.deepEqual(others, []);
    assert.deepEqual(JSON.parse(String(only)), [
      {
        ":method": "POST",
        ":scheme": "http",
        ":path": work.path,
        ":authority": `127.0.0.1:${port}`,
        "content-type": "application/grpc",
        te: "trailers",
        "user-agent": "outrigger-bench",
        "dapr-app-id": "far",
      },
      true,
    ]);
  });
});

test("a status without a message, an end without trailers, a reset and a closed connection are failures", async () => {
  const cases: readonly (readonly [RegExp, (stream: ServerHttp2Stream) => void])[] = [
    [/answered with a status and no message/, (stream) => stream.respond({ ":status": 200, "grpc-status": "13" }, { endStream: true })],
    [/answered with a status and no message/, (stream) => answer(stream, 4)],
    [/ended without trailers/, (stream) => withoutTrailers(stream)],
    [/was reset with code 8/, (stream) => stream.close(8)],
    [/closed the connection|ECONNRESET|GOAWAY/, (stream) => stream.session?.destroy()],
  ];
  for (const [message, reply] of cases) {
    await withServer(reply, (port) => assert.rejects(grpcLoad(work, port, 5, shape), message));
  }
});
