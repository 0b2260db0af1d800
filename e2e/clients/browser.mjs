// Drives Chromium for the tests. Each line of stdin is a command: {"open":TAB,"url":URL}, {"watch":TAB,"list":ID} to report
// a list's items and its data-state as if a tab "TAB ID" had logged them, {"close":TAB}, {"screenshot":TAB,"path":FILE}.
// What tabs log as JSON goes to stdout with the tab's name, the rest as {"tab","console"}. It ends at the end of stdin.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", ...process.argv.slice(2)],
});
const user = await browser.newContext();
const tabs = new Map();
const say = (what) => console.log(JSON.stringify(what));
say({ tab: "", ready: browser.version() });

const commands = {
  async open({ open: tab, url }) {
    const page = await user.newPage();
    tabs.set(tab, page);
    page.on("console", (message) => relay(tab, message.text()));
    page.on("pageerror", (error) => say({ tab, pageerror: String(error) }));
    await page.goto(url, { waitUntil: "domcontentloaded" });
  },
  async watch({ watch: tab, list }) {
    await tabs.get(tab).evaluate(({ tab, list }) => {
      const { dataset, children } = document.getElementById(list);
      const tell = (what) => console.log(JSON.stringify({ tab: `${tab} ${list}`, ...what }));
      let state, shown = 0;
      const look = () => {
        if (state !== dataset.state) tell({ [(state = dataset.state)]: list });
        for (; shown < children.length; shown++) tell({ data: children[shown].textContent });
      };
      new MutationObserver(look).observe(document.getElementById(list), { childList: true, attributes: true });
      look();
    }, { tab, list });
  },
  async close({ close: tab }) {
    await tabs.get(tab).close();
  },
  async screenshot({ screenshot: tab, path }) {
    await tabs.get(tab).screenshot({ path });
    say({ tab, screenshot: path });
  },
};

function relay(tab, text) {
  try {
    say({ tab, ...JSON.parse(text) });
  } catch {
    say({ tab, console: text });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const verb = Object.keys(command).find((key) => key in commands);
  await commands[verb](command).catch((error) => say({ tab: command[verb], pageerror: String(error) }));
}
await browser.close();
