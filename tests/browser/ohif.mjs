// Open studies in the OHIF viewer. On standard input, as JSON:
//   {chromium, page, root, folder, patience, studies: [{name, address, steps, ready, needs}, ...]}
// where `steps` are selectors with what to do to each: [["dblclick", "text=SEG"], ...], `ready` is a JavaScript
// expression that becomes true once the study is shown, and `needs` is part of the address of a request below `root` that
// must have been answered by then. On standard output for each: {name, shown, asked: status and address of all requests
// below `root`, told: errors of the page, picture: a file in `folder`}.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const asked = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({
  executablePath: asked.chromium,
  // which would take the viewer of PDF away
  ignoreDefaultArgs: ["--disable-extensions", "--disable-component-extensions-with-background-pages"],
  args: ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
});
try {
  const given = [];
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  for (const study of asked.studies) given.push(await open(context, study));
  process.stdout.write(JSON.stringify(given));
} finally {
  await browser.close();
}

async function open(context, { name, address, steps, ready, needs }) {
  const page = await context.newPage();
  const timeout = asked.patience * 1000;
  const answered = [];
  const told = [];
  const needed = page.waitForResponse((answer) => answer.url().includes(needs), { timeout }).catch(() => null);
  page.on("response", (answer) => {
    const url = answer.url();
    if (url.startsWith(asked.root)) answered.push(`${answer.status()} ${url.slice(asked.root.length)}`);
  });
  page.on("pageerror", (error) => told.push(String(error)));
  page.on("console", (message) => message.type() === "error" && told.push(message.text()));
  let shown = true;
  try {
    await page.goto(`${asked.page}${address}`);
    for (const [act, selector] of steps) await page.locator(selector).first()[act]({ timeout });
    await page.waitForFunction(ready, null, { timeout, polling: 250 });
    if (!(await needed)) throw new Error(`nothing was asked for like ${needs}`);
    // the frame after the one in which it became true has been painted
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  } catch (error) {
    shown = false;
    told.push(String(error));
  }
  const picture = join(asked.folder, `${name}.png`);
  await page.screenshot({ path: picture });
  await page.close();
  return { name, shown, asked: answered, told, picture };
}
