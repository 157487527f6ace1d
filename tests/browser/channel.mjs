// Open an event channel from a page, as a viewer does. On standard input, as JSON:
//   {chromium, page, root, aet, token, create: [url, body]}
// and on standard output what came: {answers, protocol, again}. `again`: the code with which a used ticket is closed.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const asked = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({ executablePath: asked.chromium, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.goto(asked.page);
  process.stdout.write(JSON.stringify(await page.evaluate(listen, asked)));
} finally {
  await browser.close();
}

async function listen({ root, aet, token, create }) {
  const headers = { Authorization: `Bearer ${token}` };
  const post = (path, more = {}) => fetch(`${root}${path}`, { method: "POST", headers, ...more });
  const subscribed = await post(`/workitems/1.2.840.10008.5.1.4.34.5/subscribers/${aet}`);
  const issued = await post(`/subscribers/${aet}/ticket`);
  const { url, protocols } = await issued.json();
  const channel = new WebSocket(url, protocols);
  const message = new Promise((resolve, reject) => {
    channel.onmessage = (event) => resolve(event.data);
    channel.onclose = (event) => reject(new Error(`closed: ${event.code}`));
  });
  await new Promise((resolve) => (channel.onopen = resolve));
  const [path, body] = create;
  const json = { ...headers, "Content-Type": "application/dicom+json" };
  const created = await fetch(`${root}${path}`, { method: "POST", headers: json, body });
  const heard = await message;
  const again = await new Promise((resolve) => (new WebSocket(url, protocols).onclose = (event) => resolve(event.code)));
  return { answers: [subscribed, issued, created].map((each) => each.status), protocol: channel.protocol, heard, again };
}
