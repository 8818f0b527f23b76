// A reverse proxy that serves a server under a prefix, as in front of an engine.

import http from "node:http";

/** Starts the proxy on a free port of the loopback interface. */
export async function startProxy(target, prefix) {
    const counts = { requests: 0, bytes: 0 };
    const server = http.createServer((request, response) => {
        if (!request.url.startsWith(`${prefix}/`)) {
            response.writeHead(404).end();
            return;
        }
        const { method, headers } = request;
        const forwarded = http.request(target + request.url.slice(prefix.length), { method, headers }, (answer) => {
            counts.requests += 1;
            answer.on("data", (piece) => (counts.bytes += piece.length));
            response.writeHead(answer.statusCode, answer.headers);
            answer.pipe(response);
        });
        forwarded.on("error", () => response.writeHead(502).end());
        request.pipe(forwarded);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const close = () => {
        server.closeAllConnections();
        server.close();
    };
    return { url: `http://127.0.0.1:${server.address().port}${prefix}`, counts, close };
}
