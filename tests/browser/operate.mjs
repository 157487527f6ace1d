// Call methods of npm's dicomweb-client in a real browser. On standard input, as JSON:
//   {chromium, page, library, root, calls: [[method, options], ...]}
// and on standard output what each gave: {value} or {error}. Bytes go both ways as {base64}.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const asked = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({ executablePath: asked.chromium, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.goto(asked.page);
  await page.addScriptTag({ path: asked.library });
  const given = await page.evaluate(operate, { root: asked.root, calls: asked.calls });
  process.stdout.write(JSON.stringify(given));
} finally {
  await browser.close();
}

async function operate({ root, calls }) {
  const toBytes = (value) => {
    if (Array.isArray(value)) return value.map(toBytes);
    if (value === null || typeof value !== "object") return value;
    if ("base64" in value) return Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, toBytes(each)]));
  };
  const toText = (value) => {
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
      const bytes = new Uint8Array(value.buffer ?? value);
      return { base64: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")) };
    }
    if (Array.isArray(value)) return value.map(toText);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, toText(each)]));
  };
  const client = new DICOMwebClient.api.DICOMwebClient({ url: root, singlepart: "" });
  const given = [];
  for (const [method, options] of calls) {
    try {
      given.push({ value: toText(await client[method](toBytes(options))) });
    } catch (error) {
      given.push({ error: `${error.status ?? ""} ${error.message ?? error}` });
    }
  }
  return given;
}
