// Jobs for the tests of the console, as lines of an export:
//
//     node jobs.mjs COUNT PROJECT/GRAPH >jobs.jsonl
//
// The jobs were submitted in the last 36 hours, more of them by day than by night. The last 60 are pending, and the 20 before them are
// running. The same arguments at the same time make the same jobs.

import { pathToFileURL } from "node:url";

const COMMANDS = ["execute_algorithm", "vertex_query", "import_graph", "execute_algorithm", "export_graph"];
const USERS = ["", "alice", "bob", "trace-4bf92f35"];
const SPAN_MS = 36 * 3_600_000;
const PENDING = 60;
const RUNNING = 20;

function body(command, n) {
    if (command === "import_graph") {
        return `{"edgesetPath":"obs://data/edges-${n % 97}.csv","threshold":0.00001,"accessKey":"AK${n}","secretKey":"do-not-show-me"}`;
    }
    if (command === "export_graph") return `{"exportPath":"obs://out/${n}.csv"}`;
    if (command === "vertex_query") return `{"vertices":["v${n}","v${n + 1}"],"limit":100}`;
    return `{"algorithmName":"${n % 3 ? "pagerank" : "louvain"}","parameters":{"alpha":0.850,"source":"u${n % 1000}"}}`;
}

function outcome(n) {
    switch (n % 50) {
        case 7:
            return `{"kind":"failed","code":"engine.vertex_not_found","message":"vertex u${n} does not exist","detail":{"ratio":0.10,"row":${n}}}`;
        case 19:
            return '{"kind":"cancelled"}';
        case 23:
            return `{"kind":"partially_failed","code":"import.rows_skipped","message":"${n % 90} rows were skipped"}`;
        case 31:
            return '{"kind":"interrupted"}';
        default:
            return `{"kind":"succeeded","resultRef":"results/${n}.csv"}`;
    }
}

/** When a part of the jobs, from 0 to 1, had been submitted, as a part of the time. */
const timeOf = (part) => part + (0.7 * Math.sin(3 * Math.PI * part)) / (3 * Math.PI);

/** Job number `n` of `count`, counted from 0 and from the oldest. */
export function line(n, count, now, [project, graph]) {
    const command = COMMANDS[n % COMMANDS.length];
    const url = `/ges/v1.0/${project}/graphs/${graph}/action?action_id=${command.replace("_", "-")}`;
    const submitted = now - SPAN_MS + Math.floor(SPAN_MS * timeOf(n / count));
    const started = submitted + 5 + ((n * 7919) % 900);
    const completed = started + 3 + ((n * 104729) % 4000);
    const origin = USERS[n % USERS.length];
    const from = origin && `,"origin":"${origin}"`;
    const request = `"request":{"command":"${command}","url":"${url}","body":${body(command, n)}}${from}`;
    const left = count - n;
    const id = `"jobId":"job-${String(n).padStart(8, "0")}"`;
    if (left <= PENDING) return `{${id},"status":"pending",${request},"submittedAt":${submitted}}`;
    const times = `"submittedAt":${submitted},"startedAt":${started}`;
    if (left <= PENDING + RUNNING) return `{${id},"status":"running",${request},${times}}`;
    return `{${id},"status":"complete",${request},"outcome":${outcome(n)},${times},"completedAt":${completed}}`;
}

/** All jobs, in pieces of a few thousand lines. */
export function* pieces(count, now, graph) {
    for (let first = 0; first < count; first += 5000) {
        const last = Math.min(count, first + 5000);
        yield Array.from({ length: last - first }, (_, n) => `${line(first + n, count, now, graph)}\n`).join("");
    }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
    const [count, graph] = process.argv.slice(2);
    const { once } = await import("node:events");
    for (const piece of pieces(Number(count), Date.now(), graph.split("/"))) {
        if (!process.stdout.write(piece)) await once(process.stdout, "drain");
    }
}
