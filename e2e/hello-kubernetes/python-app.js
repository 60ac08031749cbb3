// What the image of the tutorial's Python app does: a new order every second, by an invocation that names its target in a header.
let orderId = 0;

setInterval(async () => {
  orderId++;
  try {
    const init = { method: "POST", headers: { "content-type": "application/json", "dapr-app-id": "nodeapp" } };
    const response = await fetch("http://localhost:3500/neworder", { ...init, body: JSON.stringify({ data: { orderId } }) });
    if (!response.ok) console.log(`HTTP ${response.status} => ${await response.text()}`);
  } catch (error) {
    console.log(String(error));
  }
}, 1000);
