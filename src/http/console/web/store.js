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
    const value = store.get();
    const [, setVersion] = useState(0);
    useEffect(() => {
        const renderAgain = () => setVersion((version) => version + 1);
        // The value may have changed since it was rendered.
        if (store.get() !== value) renderAgain();
        return store.subscribe(renderAgain);
    }, [store]);
    return value;
}
