// Takes orders: reserves stock in the inventory app, saves the order, announces it. Everything goes through the sidecar.
import { createServer } from "node:http";

const { APP_PORT = "6001", DAPR_HTTP_PORT = "3500" } = process.env;
const dapr = `http://127.0.0.1:${DAPR_HTTP_PORT}/v1.0`;

/** Calls the sidecar; answers status and JSON. */
async function call(method, path, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${dapr}/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, data: text === "" ? null : JSON.parse(text) };
}

/** The next order number, kept in state so that it survives a restart. */
async function nextNumber() {
  const { data } = await call("GET", "state/statestore/last-number");
  const number = (data ?? 0) + 1;
  await call("POST", "state/statestore", [{ key: "last-number", value: number }]);
  return number;
}

async function placeOrder({ item, quantity }) {
  const secret = await call("GET", "secrets/secretstore/payment-key");
  if (secret.status !== 200) return { status: 500, data: { error: "no payment key" } };
  const reserved = await call("POST", "invoke/inventory/method/reserve", { item, quantity });
  if (reserved.status !== 200) return reserved;
  const order = { number: await nextNumber(), item, quantity, left: reserved.data.left };
  await call("POST", "state/statestore", [{ key: `order-${order.number}`, value: order }]);
  await call("POST", "publish/pubsub/orders", order);
  console.log(`order ${order.number}: ${quantity} × ${item}, paid with a key of ${secret.data["payment-key"].length} characters`);
  return { status: 201, data: order };
}

async function answer(request) {
  const { method, url } = request;
  if (method === "POST" && url === "/orders") {
    let body = "";
    for await (const part of request) body += part;
    return placeOrder(JSON.parse(body));
  }
  const number = /^\/orders\/(\d+)$/.exec(url)?.[1];
  const found = method === "GET" && number ? await call("GET", `state/statestore/order-${number}`) : null;
  return found?.status === 200 ? found : { status: 404, data: { error: "no such order" } };
}

const server = createServer((request, response) => {
  answer(request)
    .catch((error) => ({ status: 400, data: { error: error.message } }))
    .then(({ status, data }) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(data)));
});

server.listen(Number(APP_PORT), "127.0.0.1", () => {
  console.log(`takes orders on port ${APP_PORT}. Try:
  curl -d '{"item":"anchor","quantity":2}' ${dapr}/invoke/order/method/orders   # place an order
  curl ${dapr}/invoke/order/method/orders/1                                  # read it, also after a restart
  curl ${dapr}/invoke/inventory/method/stock/anchor                          # ask the other app
  curl ${dapr}/secrets/secretstore/payment-key                               # read a secret
  curl ${dapr}/metadata                                                      # what the sidecar has loaded`);
});
process.on("SIGTERM", () => process.exit(0));
