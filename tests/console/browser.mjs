// Chromium, with everything recorded that must not happen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

const require = createRequire(`${process.env.CONSOLE_MODULES}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

export const launch = () => chromium.launch({ executablePath: process.env.CONSOLE_CHROMIUM, args: ARGUMENTS });

/**
 * A page in a context of its own, with a token unless it is `null`.
 *
 * The result has `problems`: violations of the policy, errors, and failed requests. A request may
 * fail only with a status in `allowed`.
 */
export async function open(
    browser,
    url,
    { token, language = "en-US", scheme = "light", allowed = [], isUtc = true } = {},
) {
    const context = await browser.newContext({
        viewport: { width: 1360, height: 800 },
        locale: language,
        colorScheme: scheme,
        timezoneId: "Asia/Shanghai",
    });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const problems = [];
    page.on("pageerror", (error) => problems.push(`error: ${error.stack}`));
    page.on("console", (message) => {
        const isStatus = /status of (\d+)/.exec(message.text());
        if (isStatus && allowed.includes(Number(isStatus[1]))) return;
        if (["error", "warning"].includes(message.type()))
            problems.push(`${message.type()}: ${message.text()} ${message.location().url}`);
    });
    page.on("requestfailed", (request) => {
        // A view that is left aborts its requests.
        const reason = request.failure()?.errorText;
        if (reason !== "net::ERR_ABORTED") problems.push(`failed: ${request.url()}: ${reason}`);
    });
    page.on("response", (response) => {
        if (response.status() >= 400 && !allowed.includes(response.status()))
            problems.push(`${response.status()}: ${response.url()}`);
    });
    await page.addInitScript(
        ([token, preferences]) => {
            if (token !== null && !sessionStorage.getItem("test.token")) {
                sessionStorage.setItem("test.token", "set");
                sessionStorage.setItem("jobstore.token", token);
            }
            if (!localStorage.getItem("jobstore.preferences"))
                localStorage.setItem("jobstore.preferences", preferences);
            document.addEventListener("securitypolicyviolation", (event) =>
                console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
            );
        },
        [token ?? null, JSON.stringify({ isUtc })],
    );
    await page.goto(url);
    const close = async () => {
        await context.close();
        assert.deepEqual(problems, []);
    };
    return { page, context, problems, close };
}

/** Waits until a page shows what is expected: a view may still show what it showed before an action. */
export async function becomes(read, expected) {
    const deadline = performance.now() + 20_000;
    for (;;) {
        const found = await read();
        if (isDeepStrictEqual(found, expected)) return;
        if (performance.now() > deadline) assert.deepEqual(found, expected);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

/** Reports what axe finds on the page as it is. */
export async function checkAccessibility(page, name) {
    // Not as a script element: the page's policy would refuse that.
    await page.evaluate(axe);
    const found = await page.evaluate(async () => {
        const { violations } = await axe.run(document, { resultTypes: ["violations"] });
        return violations.map(({ id, help, nodes }) => ({
            id,
            help,
            where: nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`),
        }));
    });
    assert.deepEqual(found, [], `axe: ${name}`);
}
