// What the image of the tutorial's node app does: keeps the last order in the state store, and gives it back.
const http = require("node:http");

const store = "http://localhost:3500/v1.0/state/statestore";

async function routed(request, body) {
  if (request.method === "GET" && request.url === "/order") return (await fetch(`${store}/order`)).text();
  if (request.method !== "POST" || request.url !== "/neworder") return null;
  const saved = await fetch(store, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify([{ key: "order", value: JSON.parse(body).data }]),
  });
  if (!saved.ok) throw new Error(`${saved.status} ${await saved.text()}`);
  return "";
}

http
  .createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    try {
      const answer = await routed(request, Buffer.concat(chunks).toString());
      response.writeHead(answer === null ? 404 : 200, { "content-type": "application/json" }).end(answer ?? "");
    } catch (error) {
      console.log(String(error));
      response.writeHead(500).end(String(error));
    }
  })
  .listen(Number(process.env.APP_PORT ?? 3000));
