// Open studies in the OHIF viewer. On standard input, as JSON:
//   {chromium, page, root, folder, patience, studies: [{name, address, first, steps, ready, needs, white}, ...]}
// where `first` is a JavaScript expression that is waited for, `steps` are selectors with what to do to each then:
// [["dblclick", "text=SEG"], ...], `ready` is an expression that becomes true once the study is shown, `needs` part of the
// address of a request below `root` that must have been answered by then, and `white` how many pixels are to be white.
// On standard output for each: {name, shown, asked: status and address of all requests below `root`, told: errors of the
// page, picture: a file in `folder`}.
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
  // the tour that a newcomer is given lies over everything
  await context.addInitScript(() => localStorage?.setItem("shownTours", '["basicViewerTour"]'));
  for (const study of asked.studies) given.push(await open(context, study));
  process.stdout.write(JSON.stringify(given));
} finally {
  await browser.close();
}

async function open(context, { name, address, first, steps, ready, needs, white }) {
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
    await becomes(page, first, Date.now() + timeout);
    for (const [act, selector] of steps) await page.locator(selector).first()[act]({ timeout });
    await becomes(page, ready, Date.now() + timeout);
    if (!(await needed)) throw new Error(`nothing was asked for like ${needs}`);
    // the frame after the one in which it became true has been painted
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const until = Date.now() + timeout;
    while (white && (await whites(context, await page.screenshot())) < white)
      if (Date.now() > until) throw new Error("the page stays dark");
  } catch (error) {
    shown = false;
    told.push(String(error));
  }
  const picture = join(asked.folder, `${name}.png`);
  await page.screenshot({ path: picture });
  await page.close();
  return { name, shown, asked: answered, told, picture };
}

// Wait for an expression, moving the mouse over the page now and then: what was drawn late is painted by that.
async function becomes(page, ready, until) {
  for (let step = 0; ; step += 1) {
    try {
      return await page.waitForFunction(ready, null, { timeout: 3000, polling: 250 });
    } catch (error) {
      if (Date.now() > until) throw error;
      await page.mouse.move(600 + (step % 2) * 40, 400);
    }
  }
}

// How many white pixels a picture has, counted by a page of its own.
async function whites(context, picture) {
  const page = await context.newPage();
  try {
    return await page.evaluate(async (data) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const drawn = new OffscreenCanvas(image.width, image.height).getContext("2d");
      drawn.drawImage(image, 0, 0);
      const pixels = drawn.getImageData(0, 0, image.width, image.height).data;
      let found = 0;
      for (let at = 0; at < pixels.length; at += 4) if (pixels[at] > 250 && pixels[at + 1] > 250 && pixels[at + 2] > 250) found += 1;
      return found;
    }, picture.toString("base64"));
  } finally {
    await page.close();
  }
}
