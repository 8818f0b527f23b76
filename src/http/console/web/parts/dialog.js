// A modal dialog. The browser keeps the focus inside, and closes it on Escape.

import { html, useEffect, useRef } from "../vendor/htm-preact.js";

export function Dialog({ title, onClose, children }) {
    const dialog = useRef(null);
    useEffect(() => {
        const opener = document.activeElement;
        dialog.current.showModal();
        return () => opener?.focus?.();
    }, []);
    return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${onClose}>
        <h2 id="dialog-title">${title}</h2>
        ${children}
    </dialog>`;
}
