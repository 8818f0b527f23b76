// The console in a browser. `.ci/console` starts the server and sets these variables:
//
//     CONSOLE_SERVER    the URL of `jobstore serve`
//     CONSOLE_SOCKET    its control socket
//     CONSOLE_JOBS      number of jobs of the graph 10001/movie, made by jobs.mjs
//     CONSOLE_MODULES   the directory with node_modules
//     CONSOLE_CHROMIUM  the browser
//     CONSOLE_SHOTS     a directory for screenshots (optional)

import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { becomes, checkAccessibility, launch, open } from "./browser.mjs";
import { line, pieces } from "./jobs.mjs";
import { startProxy } from "./proxy.mjs";

const { CONSOLE_SERVER, CONSOLE_SOCKET, CONSOLE_SHOTS } = process.env;
const JOBS = Number(process.env.CONSOLE_JOBS);
const TOKEN = "token-of-all-projects";
const READER = "token-of-a-reader-of-10001";
const OTHER_GRAPHS = 199;
const MOVIE = "#/graphs/10001/movie";

let browser;
let proxy;
let home;

/** Imports jobs into a graph, which is created. */
function importJobs(graph, count) {
    return new Promise((resolve, reject) => {
        const path = `/control/graphs/${graph}/import?create=true`;
        const request = http.request({ socketPath: CONSOLE_SOCKET, path, method: "POST" }, (response) => {
            response.resume();
            response.on("end", () =>
                response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`)),
            );
        });
        request.on("error", reject);
        for (const piece of pieces(count, Date.now(), graph.split("/"))) request.write(piece);
        request.end();
    });
}

before(async () => {
    for (let n = 1; n <= OTHER_GRAPHS; n += 1) await importJobs(`20001/graph-${n}`, 100);
    await importJobs("10001/small", 400);
    proxy = await startProxy(CONSOLE_SERVER, "/ops/jobs");
    home = `${proxy.url}/console/`;
    browser = await launch();
});

after(async () => {
    await browser?.close();
    proxy?.close();
});

const visit = (hash, options) => open(browser, home + hash, { token: TOKEN, ...options });
const rowAt = (page, index) => page.locator(`[role=row][aria-rowindex="${index}"] a`);
const cellsOf = (page, id) => page.locator("[role=row]", { has: page.getByText(id, { exact: true }) });
const jobId = (n) => `job-${String(n).padStart(8, "0")}`;
const grouped = (value) => value.toLocaleString("en-US");

/** Takes a picture, to look at. */
async function shoot(page, name) {
    if (CONSOLE_SHOTS) await page.screenshot({ path: `${CONSOLE_SHOTS}/${name}.png` });
}

test("the overview is usable soon, with few bytes", async () => {
    const { page, close } = await visit("#/");
    await page.getByRole("link", { name: "20001/graph-199" }).waitFor();
    await becomes(() => page.locator("tbody tr").count(), OTHER_GRAPHS + 2);
    // Some jobs completed in the last hour.
    await page.locator(".spark rect").first().waitFor({ state: "attached" });
    await shoot(page, "overview");
    await page.evaluate(() => (location.hash = "#/store"));
    await page.getByText("Log segments").waitFor();
    const before = { ...proxy.counts };
    const begun = performance.now();
    await page.goto(`${home}?again#/`);
    await page.getByRole("link", { name: "20001/graph-199" }).waitFor();
    const took = performance.now() - begun;
    console.log(
        `second view of the overview: ${took.toFixed(0)} ms, ${proxy.counts.requests - before.requests} requests, ${proxy.counts.bytes - before.bytes} bytes`,
    );
    await close();
    const fresh = { ...proxy.counts };
    const first = await visit("#/");
    const isShown = await first.page.evaluate(
        () =>
            new Promise((resolve) => {
                const look = () =>
                    document.querySelector("tbody tr") ? resolve(performance.now()) : setTimeout(look, 1);
                look();
            }),
    );
    await first.page.getByRole("link", { name: "20001/graph-199" }).waitFor();
    const bytes = proxy.counts.bytes - fresh.bytes;
    console.log(
        `first view of the overview: ${isShown.toFixed(0)} ms after the navigation began, ${proxy.counts.requests - fresh.requests} requests, ${bytes} bytes`,
    );
    assert.ok(bytes < 100_000, `${bytes} bytes`);
    await first.close();
});

test("a view that cannot be loaded is reported, and can be loaded again", async () => {
    const { page, close } = await visit("#/", { allowed: [404] });
    // As after an upgrade of the server, which no longer has the files of the old page.
    await page.route("**/views/history.js", (route) => route.fulfill({ status: 404 }));
    await page.reload();
    await page.getByRole("link", { name: "10001/movie" }).waitFor();
    await page.evaluate((hash) => (location.hash = hash), `${MOVIE}/history`);
    await page.getByRole("alert").getByText("Reload the page").waitFor();
    await page.unroute("**/views/history.js");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { level: 1, name: "History" }).waitFor();
    await close();
});

test("a token is asked for, sent as a header, and kept for the tab only", async () => {
    const { page, context, close } = await visit("#/", { token: null, allowed: [401] });
    await page.getByRole("dialog").waitFor();
    await checkAccessibility(page, "token dialog");
    await page.getByLabel("Token", { exact: true }).fill("not-a-valid-token");
    await page.getByRole("button", { name: "Use this token" }).click();
    await page.getByRole("dialog").waitFor();
    await page.getByLabel("Token", { exact: true }).fill(TOKEN);
    await page.getByRole("button", { name: "Use this token" }).click();
    await page.getByRole("link", { name: "10001/movie" }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.getItem("jobstore.token")), TOKEN);
    assert.equal(await page.evaluate((token) => JSON.stringify(localStorage).includes(token), TOKEN), false);
    assert.deepEqual(await context.cookies(), []);
    assert.ok(!page.url().includes("token"));
    await close();
});

test("totals are exact, and lead to the list of a state", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs`);
    await rowAt(page, 2).waitFor();
    await becomes(() => rowAt(page, 2).textContent(), jobId(JOBS - 1));
    for (const [name, total] of [
        ["All", JOBS],
        ["pending", 60],
        ["running", 20],
        ["complete", JOBS - 80],
    ]) {
        await page.getByRole("link", { name: new RegExp(`${name}\\s+${grouped(total)}$`) }).waitFor();
    }
    await becomes(() => page.getByRole("grid").getAttribute("aria-rowcount"), String(JOBS + 1));
    await shoot(page, "jobs");
    await page.getByRole("link", { name: /running\s+20$/ }).click();
    await page.waitForURL(/state=running/);
    await becomes(() => rowAt(page, 2).textContent(), jobId(JOBS - 61));
    await becomes(() => page.getByRole("grid").getAttribute("aria-rowcount"), "21");
    await becomes(() => page.getByLabel("Filter", { exact: true }).inputValue(), "state=running");
    await close();
});

test("any row can be scrolled to", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs`);
    await rowAt(page, 2).waitFor();
    const times = [];
    for (const part of [0.5, 0.123, 0.9, 0.333, 0.777, 1]) {
        const took = await page.evaluate(
            (part) =>
                new Promise((resolve) => {
                    const scroller = document.querySelector(".scroller");
                    const begun = performance.now();
                    scroller.scrollTop = part * (scroller.scrollHeight - scroller.clientHeight);
                    const look = () => {
                        const rows = [...document.querySelectorAll(".scroller .row")];
                        const view = scroller.getBoundingClientRect();
                        const seen = rows.filter(
                            (row) =>
                                row.getBoundingClientRect().bottom > view.top &&
                                row.getBoundingClientRect().top < view.bottom,
                        );
                        const isThere =
                            performance.now() > begun + 1 &&
                            seen.length > 10 &&
                            seen.every((row) => row.querySelector("a"));
                        const first = Number(seen[0]?.getAttribute("aria-rowindex"));
                        const total = Number(document.querySelector("[role=grid]").getAttribute("aria-rowcount"));
                        if (isThere && Math.abs(first / total - part) < 0.01) resolve(performance.now() - begun);
                        else requestAnimationFrame(look);
                    };
                    requestAnimationFrame(look);
                }),
            part,
        );
        times.push(took);
        // The job in each row is the one that belongs there.
        const [index, id] = await page.evaluate(() => {
            const row = document.querySelectorAll(".scroller .row")[10];
            return [Number(row.getAttribute("aria-rowindex")), row.querySelector("a").textContent];
        });
        assert.equal(id, jobId(JOBS - (index - 1)), `row ${index}`);
    }
    console.log(`scrolling to a row, until it is shown: ${times.map((ms) => ms.toFixed(0)).join(", ")} ms`);
    // The oldest job is in the last row.
    await rowAt(page, JOBS + 1).waitFor();
    await becomes(() => rowAt(page, JOBS + 1).textContent(), jobId(0));
    // A turn of the wheel moves by a few rows, whatever the scale is.
    await page.locator(".scroller").hover();
    await page.mouse.wheel(0, -260);
    await page.waitForFunction(
        () => !document.querySelector(".scroller .row:last-child")?.textContent.includes("job-00000000"),
    );
    const last = await page.evaluate(() =>
        Math.max(
            ...[...document.querySelectorAll(".scroller .row")].map((row) => Number(row.getAttribute("aria-rowindex"))),
        ),
    );
    assert.ok(last <= JOBS + 1 && last > JOBS - 40, `${last}`);
    await page.waitForURL(/offset=\d+/);
    const address = page.url();
    await close();
    // The address leads back to these rows.
    const again = await visit(address.slice(address.indexOf("#")));
    const offset = Number(/offset=(\d+)/.exec(address)[1]);
    await rowAt(again.page, offset + 2).waitFor();
    await again.close();
});

test("a filter is the query string of the API", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs?outcome=failed`, { allowed: [400] });
    await page.getByText("Total unknown").waitFor();
    await rowAt(page, 2).waitFor();
    const failed = await page.locator(".scroller .state-failed").count();
    assert.ok(failed > 10);
    await page.getByRole("button", { name: "Count all" }).click();
    const expected = Array.from({ length: JOBS - 80 }, (_, n) => n).filter((n) => n % 50 === 7).length;
    await page.getByText(new RegExp(`^\\s*${grouped(expected)} jobs`)).waitFor();
    // It can be extended by a form, and edited as text.
    await page.getByLabel("Value", { exact: true }).fill("import_graph");
    await page.getByRole("button", { name: "Add" }).click();
    await page.waitForURL(/outcome=failed&command=import_graph/);
    await rowAt(page, 2).waitFor();
    // The text follows the address with the next rendering.
    const filter = page.getByLabel("Filter", { exact: true });
    for (let n = 0; n < 200 && !(await filter.inputValue()).includes("command=import_graph"); n += 1) {
        await page.waitForTimeout(25);
    }
    await page.keyboard.press("/");
    await page.keyboard.type("stat=running");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("unknown parameter").waitFor();
    await shoot(page, "refused");
    await page
        .getByLabel("Filter", { exact: true })
        .fill("body_contains=no-such-text&submitted_from=2000-01-01T00:00:00Z&submitted_before=2000-01-02T00:00:00Z");
    await page.keyboard.press("Enter");
    await page.getByText("No job matches the filter.").waitFor();
    await page.getByRole("link", { name: "Show all jobs" }).click();
    await rowAt(page, 2).waitFor();
    await close();
});

test("a response that arrives before the page is painted is shown", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs`, { allowed: [400] });
    await rowAt(page, 2).waitFor();
    // Effects wait for a frame, or, if none comes, for longer than this response takes.
    await page.evaluate(() => {
        window.requestAnimationFrame = () => 0;
        location.hash += "?stat=running";
    });
    await page.getByRole("alert").getByText("unknown parameter").waitFor();
    await close();
});

test("a list is copied as a command, without the token", async () => {
    const { page, context, close } = await visit(`${MOVIE}/jobs?state=running`);
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("button", { name: "Copy as jobstore list" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    await becomes(() => copied(), "jobstore list --graph 10001/movie --state running --newest-first");
    await page.getByRole("button", { name: "Copy as curl" }).click();
    await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith("curl"));
    const curl = await copied();
    assert.ok(
        curl.includes(`${proxy.url}/ges/v1.0/10001/graphs/movie/jobs/status`) && curl.includes("state=running"),
        curl,
    );
    assert.ok(!curl.includes(TOKEN), curl);
    await close();
});

test("everything is reachable by the keyboard", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs`);
    await rowAt(page, 2).waitFor();
    for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
    const selected = page.locator('[role=row][aria-selected="true"] a');
    await becomes(() => selected.textContent(), jobId(JOBS - 2));
    await page.getByRole("grid").focus();
    await page.keyboard.press("End");
    await page.waitForFunction(
        (id) => document.querySelector('[aria-selected="true"] a')?.textContent === id,
        jobId(0),
    );
    await page.keyboard.press("Home");
    await page.waitForFunction(
        (id) => document.querySelector('[aria-selected="true"] a')?.textContent === id,
        jobId(JOBS - 1),
    );
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await checkAccessibility(page, "keyboard help");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: jobId(JOBS - 1) }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("grid").waitFor();
    await page.keyboard.press("o");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await close();
});

test("the jobs of a user are found by their origin", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs?origin=bob`);
    await rowAt(page, 2).waitFor();
    const notes = await page.locator(".scroller [role=row] [role=gridcell]:last-child").allTextContents();
    assert.ok(notes.length > 10 && notes.every((text) => text.startsWith("bob · ")), notes.join("\n"));
    await close();
});

test("a job is shown whole, with its secrets hidden", async () => {
    const n = JOBS - 98 - (JOBS % 5); // An import that is complete.
    assert.ok(line(n, JOBS, 0, ["10001", "movie"]).includes("do-not-show-me"));
    const { page, close } = await visit(`${MOVIE}/jobs/${jobId(n)}`);
    await page.getByRole("heading", { name: jobId(n) }).waitFor();
    await page.getByText("0.00001").waitFor();
    await becomes(() => page.locator(".masked").count(), 2);
    assert.ok(!(await page.content()).includes("do-not-show-me"));
    await page.getByText("bob", { exact: true }).waitFor();
    await becomes(() => page.locator(".timeline li").count(), 3);
    await shoot(page, "job");
    await close();
});

test("an unknown and a purged job, graph, and address are explained", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs/no-such-job`, { allowed: [400] });
    await page.getByText("There is no job with this id.").waitFor();
    await page.goto(`${home}#/graphs/10001/none/jobs`);
    await page.getByText("There is no such graph.").waitFor();
    await page.goto(`${home}#/nothing`);
    await page.getByText("No view has this address.").waitFor();
    await close();
});

test("a job is canceled after a confirmation that repeats its id and command", async () => {
    const id = jobId(399);
    const { page, close } = await visit(`#/graphs/10001/small/jobs/${id}`);
    const cancel = page.getByRole("button", { name: "Cancel job…" });
    await cancel.click();
    const dialog = page.getByRole("dialog", { name: "Cancel this job?" });
    await dialog.getByText(id).waitFor();
    await dialog.getByText("export_graph").waitFor();
    await checkAccessibility(page, "cancel dialog");
    await shoot(page, "cancel");
    await dialog.getByRole("button", { name: "Back" }).click();
    await dialog.waitFor({ state: "hidden" });
    await page.locator(".headline .state-pending").waitFor();
    await cancel.click();
    await dialog.getByRole("button", { name: "Cancel this job" }).click();
    await page.locator(".headline .state-cancelled").waitFor();
    await becomes(() => cancel.count(), 0);
    await close();
});

test("what a token does not allow is not offered", async () => {
    const { page, close } = await visit(`#/graphs/10001/small/jobs/${jobId(330)}`, { token: READER, allowed: [403] });
    await page.getByRole("heading", { name: jobId(330) }).waitFor();
    await page.locator(".headline .state-running").waitFor();
    await page.waitForLoadState("networkidle");
    for (const name of ["Cancel job…", "Complete as failed…"])
        assert.equal(await page.getByRole("button", { name }).count(), 0, name);
    assert.equal(await page.getByRole("link", { name: "Bulk actions" }).count(), 0);
    await page.goto(`${home}#/graphs/10001/small/bulk`);
    await page.getByText("Your token does not allow this.").first().waitFor();
    assert.equal(await page.getByText("Your token does not allow this.").count(), 2);
    assert.equal(await page.getByRole("button", { name: "Count" }).count(), 0);
    await close();
});

test("a refusal is explained, if the server does not report permissions", async () => {
    const { page, close } = await visit("#/", { token: READER, allowed: [403, 404] });
    await page.route("**/permissions", (route) => route.fulfill({ status: 404 }));
    await page.goto(`${home}#/graphs/10001/small/jobs/${jobId(398)}`);
    await page.getByRole("button", { name: "Cancel job…" }).click();
    await page.getByRole("button", { name: "Cancel this job" }).click();
    await page.getByRole("alert").getByText("Not permitted.").waitFor();
    await page.goto(`${home}#/store`);
    await page.getByText("Your token does not allow the store's statistics.").waitFor();
    await close();
});

test("a running job is completed as failed", async () => {
    const { page, close } = await visit(`#/graphs/10001/small/jobs/${jobId(330)}`);
    await page.getByRole("button", { name: "Complete as failed…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(jobId(330)).waitFor();
    await dialog.getByLabel("Message (optional)").fill("its worker is gone");
    await dialog.getByRole("button", { name: "Complete this job as failed" }).click();
    await page.locator(".headline .state-failed").waitFor();
    await page.getByText("its worker is gone").waitFor();
    await close();
});

test("jobs are canceled and purged in bulk, after they are counted", async () => {
    const { page, close } = await visit("#/graphs/20001/graph-7/bulk?state=pending&command=vertex_query", {
        allowed: [400],
    });
    const cancel = page.locator("section", { has: page.getByRole("heading", { name: "Cancel jobs" }) });
    await cancel.getByRole("button", { name: "Count" }).click();
    await cancel.getByText("12 jobs would be canceled.").waitFor();
    await cancel.getByRole("button", { name: "Cancel these 12 jobs…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("state=pending&command=vertex_query").waitFor();
    const confirm = dialog.getByRole("button", { name: "Cancel them" });
    assert.ok(await confirm.isDisabled());
    await checkAccessibility(page, "bulk dialog");
    await dialog.getByLabel(/type the number/).fill("12");
    await confirm.click();
    await page.getByText("12 jobs were canceled or asked to stop.").waitFor();
    await page.goto(`${home}#/graphs/20001/graph-7/bulk?outcome=cancelled`);
    const purge = page.locator("section", { has: page.getByRole("heading", { name: "Purge jobs" }) });
    await purge.getByRole("button", { name: "Count" }).click();
    await purge.getByText("13 jobs would be purged.").waitFor();
    await purge.getByRole("button", { name: "Purge these 13 jobs…" }).click();
    await dialog.getByLabel(/type the number/).fill("13");
    await dialog.getByRole("button", { name: "Purge them" }).click();
    await page.getByText("13 jobs were purged.").waitFor();
    // Its tombstone says so.
    await page.goto(`${home}#/graphs/20001/graph-7/jobs/${jobId(41)}`);
    await page.getByText("This job was purged.").waitFor();
    await page.getByText("purged by hand").waitFor();
    await close();
});

test("history shows what happened, and leads to its jobs", async () => {
    const { page, close } = await visit(`${MOVIE}/history?range=day`);
    await page.locator("svg.chart").first().waitFor();
    await becomes(() => page.locator("svg.chart").count(), 4);
    await shoot(page, "history");
    await page.getByText(/Data table/).click();
    await page.locator("tbody a").first().click();
    await page.waitForURL(/completed_from=/);
    await rowAt(page, 2).waitFor();
    await close();
});

test("the failed jobs of a command lead to the list of exactly these jobs", async () => {
    const { page, close } = await visit("#/graphs/10001/small/history?range=week");
    const commands = page.getByRole("region", { name: "By command" });
    const row = commands.getByRole("row", { name: /^execute_algorithm/ });
    const failed = await row.getByRole("link").textContent();
    // All of them failed partially.
    assert.ok(Number(failed) > 0);
    await row.getByRole("link").click();
    await page.waitForURL(/outcome=partially_failed/);
    await rowAt(page, 2).waitFor();
    await becomes(() => page.getByRole("grid").getAttribute("aria-rowcount"), String(Number(failed) + 1));
    await close();
});

test("new jobs are reported, and do not shift the rows in view", async () => {
    await importJobs("10001/growing", 400);
    const { page, close } = await visit("#/graphs/10001/growing/jobs?offset=100");
    await rowAt(page, 102).waitFor();
    const id = await rowAt(page, 110).textContent();
    await importJobs("10001/growing", 410);
    await page.getByRole("button", { name: "Show 10 newer jobs" }).waitFor();
    await becomes(() => rowAt(page, 110).textContent(), id);
    await page.getByRole("button", { name: "Show 10 newer jobs" }).click();
    await page.waitForFunction(() => document.querySelector("[role=grid]").getAttribute("aria-rowcount") === "411");
    await close();
});

const VIEWS = {
    overview: ["#/", "tbody tr"],
    jobs: [`${MOVIE}/jobs`, ".scroller .row a"],
    filtered: [`${MOVIE}/jobs?outcome=failed&command=import_graph`, ".query"],
    all: ["#/jobs", ".scroller .row a"],
    job: [`${MOVIE}/jobs/${jobId(7)}`, ".timeline"],
    running: [`${MOVIE}/jobs/${jobId(JOBS - 70)}`, ".timeline"],
    history: [`${MOVIE}/history`, "svg.chart"],
    bulk: [`${MOVIE}/bulk?state=pending`, "section"],
    store: ["#/store", ".tiles"],
};

for (const language of ["en-US", "zh-CN"]) {
    for (const scheme of ["light", "dark"]) {
        test(`every view is accessible: ${language}, ${scheme}`, async () => {
            const { page, close } = await visit("#/", { language, scheme, isUtc: false });
            for (const [name, [hash, ready]] of Object.entries(VIEWS)) {
                await page.goto(home + hash);
                await page.locator(ready).first().waitFor();
                await checkAccessibility(page, `${name}, ${language}, ${scheme}`);
                await shoot(page, `${name}-${language}-${scheme}`);
            }
            assert.equal(
                await page.evaluate(() => document.documentElement.lang),
                language === "zh-CN" ? "zh-Hans" : "en",
            );
            await close();
        });
    }
}

test("language, colors, and time zone can be switched, and are remembered", async () => {
    const { page, close } = await visit(`${MOVIE}/jobs`);
    await rowAt(page, 2).waitFor();
    const time = () => page.locator(".scroller .row time").first().textContent();
    const utc = Date.parse(`${await time()}Z`);
    await page.getByLabel("Time zone").selectOption({ label: "Local time" });
    await page.waitForFunction(
        (shown) => document.querySelector(".scroller .row time").textContent !== shown,
        await time().then(() => new Date(utc).toISOString().slice(0, 19).replace("T", " ")),
    );
    assert.equal(Date.parse(`${await time()}Z`) - utc, 8 * 3_600_000);
    await page.getByLabel("Colors").selectOption({ label: "Dark" });
    await page.waitForFunction(() => getComputedStyle(document.body).colorScheme === "dark");
    await page.getByLabel("Language").selectOption({ label: "中文" });
    await page.getByRole("link", { name: "概览" }).waitFor();
    await page.reload();
    await page.getByRole("link", { name: "概览" }).waitFor();
    await close();
});
