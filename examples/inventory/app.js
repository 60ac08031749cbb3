// Keeps the stock: reserves items on request, and hears of every order through a subscription.
import { createServer } from "node:http";

const { APP_PORT = "6002", DAPR_HTTP_PORT = "3500" } = process.env;
const state = `http://127.0.0.1:${DAPR_HTTP_PORT}/v1.0/state/statestore`;
const initialStock = 1000;

async function stockOf(item) {
  const response = await fetch(`${state}/stock-${item}`);
  const text = await response.text();
  return { left: text === "" ? initialStock : JSON.parse(text), etag: response.headers.get("etag") };
}

/** Takes `quantity` of an item; tries again when another request was faster (the etag tells). */
async function reserve({ item, quantity }) {
  for (;;) {
    const { left, etag } = await stockOf(item);
    if (!(quantity > 0) || quantity > left) return { status: 409, data: { error: `cannot reserve ${quantity} of ${left} ${item}` } };
    const entry = { key: `stock-${item}`, value: left - quantity, options: { concurrency: "first-write" }, ...(etag && { etag }) };
    const saved = await fetch(state, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify([entry]) });
    if (saved.ok) return { status: 200, data: { left: left - quantity } };
    if (saved.status !== 409) return { status: 500, data: { error: await saved.text() } };
  }
}

async function readJson(request) {
  let body = "";
  for await (const part of request) body += part;
  return JSON.parse(body);
}

async function answer(request) {
  const { method, url } = request;
  if (method === "GET" && url === "/dapr/subscribe") {
    return { status: 200, data: [{ pubsubname: "pubsub", topic: "orders", route: "/placed" }] };
  }
  if (method === "POST" && url === "/reserve") return reserve(await readJson(request));
  if (method === "POST" && url === "/placed") {
    const { data } = await readJson(request);
    console.log(`heard of order ${data.number}: ship ${data.quantity} × ${data.item}`);
    return { status: 200, data: { status: "SUCCESS" } };
  }
  const item = /^\/stock\/(\w+)$/.exec(url)?.[1];
  if (method === "GET" && item) return { status: 200, data: { item, left: (await stockOf(item)).left } };
  return { status: 404, data: { error: "not found" } };
}

const server = createServer((request, response) => {
  answer(request)
    .catch((error) => ({ status: 400, data: { error: error.message } }))
    .then(({ status, data }) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(data)));
});

server.listen(Number(APP_PORT), "127.0.0.1", () => console.log(`keeps the stock on port ${APP_PORT}`));
process.on("SIGTERM", () => process.exit(0));
