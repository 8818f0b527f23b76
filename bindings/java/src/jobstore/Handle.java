package jobstore;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicLong;

/** An object of the library. It is freed by {@link #close}, or by the garbage collector. */
abstract class Handle implements AutoCloseable {
    private static final Cleaner CLEANER = Cleaner.create();

    /** The pointer until it is freed. It does not refer to the object that is cleaned. */
    private static final class Pointer implements Runnable {
        private final AtomicLong address;
        private final String release;

        Pointer(long address, String release) {
            this.address = new AtomicLong(address);
            this.release = release;
        }

        @Override
        public void run() {
            long pointer = address.getAndSet(0);
            if (pointer != 0) {
                Native.BACKEND.release(release, pointer);
            }
        }
    }

    private final Pointer pointer;
    private final Cleaner.Cleanable cleanable;

    Handle(long address, String release) {
        pointer = new Pointer(address, release);
        cleanable = CLEANER.register(this, pointer);
    }

    long handle() {
        long address = pointer.address.get();
        if (address == 0) {
            throw new IllegalStateException("this " + getClass().getSimpleName() + " is closed");
        }
        return address;
    }

    /** Takes the pointer, which is then not freed. */
    long take() {
        long address = handle();
        pointer.address.set(0);
        return address;
    }

    /** Frees the object. No other thread may be using it. Calling this again has no effect. */
    @Override
    public void close() {
        cleanable.clean();
    }
}
