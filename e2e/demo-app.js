// The demo app of the suites, in all its roles; runs on the Node of Outrigger's image from a ConfigMap. What the sidecar says
// is passed on as {status, body}, so that a test sees what the app saw.
const http = require("node:http");

const sidecar = `http://127.0.0.1:${process.env.DAPR_HTTP_PORT ?? 3500}/v1.0`;
const received = [];

async function ask(path, body) {
  const init = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(sidecar + path, { ...init, signal: AbortSignal.timeout(10_000) });
  return { status: response.status, body: await response.text() };
}

const routes = {
  "/stock": (_url, request) => ({ apples: 3, caller: request.headers["dapr-caller-app-id"] ?? null }),
  "/invoke": (url) => ask(`/invoke/${url.searchParams.get("app")}/method/stock`),
  "/publish": (url) => ask("/publish/pubsub/orders", { order: url.searchParams.get("order") }),
  "/dapr/subscribe": () => (process.env.SUBSCRIBES === "1" ? [{ pubsubname: "pubsub", topic: "orders", route: "/orders" }] : []),
  "/orders": (_url, _request, body) => {
    received.push(JSON.parse(body).data.order);
    return {};
  },
  "/received": () => ({ received }),
  "/save": (url) => ask(`/state/${url.searchParams.get("store")}`, [{ key: "k", value: url.searchParams.get("value") }]),
  "/load": (url) => ask(`/state/${url.searchParams.get("store")}/k`),
  "/secret": (url) => ask(`/secrets/kubernetes/${url.searchParams.get("name")}`),
  "/metadata": () => ask("/metadata"),
};

async function job() {
  for (let attempt = 0; ; attempt++) {
    const answer = await ask(`/invoke/${process.env.JOB_CALLS}/method/stock`).catch((error) => ({ status: 0, body: String(error) }));
    console.log(JSON.stringify(answer));
    if (answer.status === 200) return;
    if (attempt > 60) process.exit(1);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

if (process.env.JOB_CALLS) job();
else {
  http
    .createServer(async (request, response) => {
      const url = new URL(request.url, "http://app");
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const route = routes[url.pathname];
      try {
        const answer = route === undefined ? {} : await route(url, request, Buffer.concat(chunks).toString());
        response.writeHead(route === undefined ? 404 : 200, { "content-type": "application/json" }).end(JSON.stringify(answer));
      } catch (error) {
        response.writeHead(500, { "content-type": "application/json" }).end(JSON.stringify({ error: String(error) }));
      }
    })
    .listen(3000);
}
