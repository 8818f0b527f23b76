// A JSON parser that keeps the text of numbers, the order of keys, and duplicate keys, which
// `JSON.parse` does not.

/**
 * @typedef {{kind: "object", members: [string, Node][]}
 *     | {kind: "array", items: Node[]}
 *     | {kind: "string", value: string}
 *     | {kind: "literal", text: string}} Node
 */

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const LITERAL = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/** @returns {Node} */
export function parseTree(text) {
    let at = 0;
    const take = (pattern) => {
        pattern.lastIndex = at;
        const found = pattern.exec(text)?.[0];
        if (found === undefined) throw new SyntaxError(`invalid JSON at ${at}`);
        at += found.length;
        return found;
    };
    const takeIf = (character) => {
        take(SPACE);
        const isThere = text[at] === character;
        if (isThere) at += 1;
        return isThere;
    };
    const need = (character) => {
        if (!takeIf(character)) throw new SyntaxError(`invalid JSON at ${at}`);
    };
    const list = (end, item) => {
        const items = [];
        if (takeIf(end)) return items;
        do items.push(item());
        while (takeIf(","));
        need(end);
        return items;
    };
    const string = () => {
        take(SPACE);
        return JSON.parse(take(STRING));
    };
    const member = () => {
        const key = string();
        need(":");
        return [key, value()];
    };
    const value = () => {
        if (takeIf("{")) return { kind: "object", members: list("}", member) };
        if (takeIf("[")) return { kind: "array", items: list("]", value) };
        if (text[at] === '"') return { kind: "string", value: string() };
        return { kind: "literal", text: take(LITERAL) };
    };
    const tree = value();
    take(SPACE);
    if (at < text.length) throw new SyntaxError(`invalid JSON at ${at}`);
    return tree;
}

/** Returns the node at a path of keys and indexes, or `undefined`. */
export function nodeAt(tree, ...path) {
    return path.reduce((node, step) => {
        if (node?.kind === "array") return node.items[step];
        return node?.members?.find(([key]) => key === step)?.[1];
    }, tree);
}

/** Returns compact JSON. */
export function formatTree(node) {
    switch (node.kind) {
        case "object": {
            const members = node.members.map(([key, value]) => `${JSON.stringify(key)}:${formatTree(value)}`);
            return `{${members.join(",")}}`;
        }
        case "array":
            return `[${node.items.map(formatTree).join(",")}]`;
        case "string":
            return JSON.stringify(node.value);
        default:
            return node.text;
    }
}
