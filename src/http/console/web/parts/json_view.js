// JSON that can be folded. Masked values are marked.

import { html } from "../vendor/htm-preact.js";
import { t } from "../i18n.js";

/** What the server shows instead of a value under a secret key. */
const MASK = "******";
/** Deeper values, and longer lists, are folded at first. */
const OPEN_DEPTH = 3;
const OPEN_ITEMS = 50;

function Scalar({ node }) {
    if (node.kind === "literal") return html`<span class="json-literal">${node.text}</span>`;
    if (node.value === MASK)
        return html`<span class="masked" title=${t("json.masked.title")}>${t("json.masked")}</span>`;
    return html`<span class="json-string">${JSON.stringify(node.value)}</span>`;
}

/** @param {{node: import("../json_tree.js").Node, name?: string, depth?: number}} props */
export function JsonView({ node, name, depth = 0 }) {
    const key = name !== undefined && html`<span class="json-key">${name}</span>: `;
    const children = node.kind === "object" ? node.members : node.items?.map((item, n) => [String(n), item]);
    if (!children) return html`<div>${key}<${Scalar} node=${node} /></div>`;
    const [begin, end] = node.kind === "object" ? ["{", "}"] : ["[", "]"];
    if (children.length === 0) return html`<div>${key}${begin}${end}</div>`;
    const isOpen = depth < OPEN_DEPTH && children.length <= OPEN_ITEMS;
    return html`<details open=${isOpen}>
        <summary>${key}${begin} <span class="quiet">${t("json.items", { n: children.length })}</span> ${end}</summary>
        <div class="json-children">${children.map(([child, value], n) => html`<${JsonView} key=${n} node=${value} name=${child} depth=${depth + 1} />`)}</div>
    </details>`;
}
