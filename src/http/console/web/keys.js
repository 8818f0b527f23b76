// Keyboard shortcuts. A shortcut is ignored while text is being entered.

import { useLayoutEffect } from "./vendor/htm-preact.js";

const isEditing = (element) =>
    element instanceof HTMLElement &&
    (element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName));

/**
 * Calls the function for a pressed key while the component is shown.
 *
 * @param {Record<string, (event: KeyboardEvent) => void>} shortcuts by `KeyboardEvent.key`
 */
export function useKeys(shortcuts) {
    useLayoutEffect(() => {
        const pressed = (event) => {
            if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
            if (isEditing(event.target) || document.querySelector("dialog[open]")) return;
            const act = shortcuts[event.key];
            if (act) {
                event.preventDefault();
                act(event);
            }
        };
        document.addEventListener("keydown", pressed);
        return () => document.removeEventListener("keydown", pressed);
    });
}
