// A value that components can subscribe to.

import { useEffect, useState } from "./vendor/htm-preact.js";

/**
 * @template T
 * @param {T} value
 */
export function createStore(value) {
    const subscribers = new Set();
    return {
        get: () => value,
        set(next) {
            value = next;
            for (const subscriber of [...subscribers]) subscriber(value);
        },
        /** Calls `subscriber` after each change; returns a function that ends this. */
        subscribe(subscriber) {
            subscribers.add(subscriber);
            return () => subscribers.delete(subscriber);
        },
    };
}

/** Returns the current value of a store, and renders the component again when it changes. */
export function useStore(store) {
    const [, setVersion] = useState(0);
    useEffect(() => store.subscribe(() => setVersion((version) => version + 1)), [store]);
    return store.get();
}
