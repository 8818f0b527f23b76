package jobstore;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** The library through the Foreign Function and Memory API, from Java 22 on. */
final class FfmBackend implements Backend {
    /** Pointers are passed as integers of 64 bits, and a text as two of them. */
    private static final MemoryLayout TEXT =
            MemoryLayout.structLayout(ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG);

    private static final FunctionDescriptor WRITE =
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG);
    private static final FunctionDescriptor READ =
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG);

    private final Linker linker = Linker.nativeLinker();
    private final SymbolLookup lookup;
    private final Map<String, MethodHandle> functions = new ConcurrentHashMap<>();

    FfmBackend(String library) {
        lookup = SymbolLookup.libraryLookup(library, Arena.global());
    }

    @Override
    public int call(String name, Object... arguments) {
        try (Arena arena = Arena.ofConfined()) {
            List<Object> values = new ArrayList<>();
            List<MemoryLayout> layouts = new ArrayList<>();
            List<MemorySegment> outs = new ArrayList<>();
            for (Object argument : arguments) {
                add(argument, arena, values, layouts, outs);
            }
            var descriptor =
                    FunctionDescriptor.of(
                            ValueLayout.JAVA_INT, layouts.toArray(new MemoryLayout[0]));
            int code = (int) function(name, descriptor).invokeWithArguments(values);
            int n = 0;
            for (Object argument : arguments) {
                if (argument instanceof Out out) {
                    out.bytes = bytes(outs.get(n++));
                } else if (argument instanceof OutBytes out) {
                    out.bytes = take(outs.get(n++));
                }
            }
            return code;
        } catch (Throwable e) {
            throw failed(name, e);
        }
    }

    private void add(
            Object argument,
            Arena arena,
            List<Object> values,
            List<MemoryLayout> layouts,
            List<MemorySegment> outs)
            throws ReflectiveOperationException {
        MemoryLayout layout = ValueLayout.JAVA_LONG;
        Object value = argument;
        if (argument instanceof Integer) {
            layout = ValueLayout.JAVA_INT;
        } else if (argument instanceof Byte) {
            layout = ValueLayout.JAVA_BYTE;
        } else if (argument instanceof Boolean) {
            layout = ValueLayout.JAVA_BOOLEAN;
        } else if (argument instanceof byte[] text) {
            layout = TEXT;
            value = texts(arena, text);
        } else if (argument instanceof byte[][] requests) {
            value = texts(arena, requests).address();
        } else if (argument instanceof Out out) {
            // The memory is set to zeros.
            MemorySegment memory = arena.allocate(out.size, 8);
            outs.add(memory);
            value = memory.address();
        } else if (argument instanceof OutBytes) {
            MemorySegment memory = arena.allocate(16, 8);
            outs.add(memory);
            value = memory.address();
        } else if (argument instanceof Input input) {
            value = stub(new Pull(input), "pull", long.class, READ, arena);
        } else if (argument instanceof Consumer<?>) {
            @SuppressWarnings("unchecked")
            var output = (Consumer<byte[]>) argument;
            value = stub(new Push(output), "push", int.class, WRITE, arena);
        }
        values.add(value);
        layouts.add(layout);
    }

    private byte[] take(MemorySegment result) {
        long address = result.get(ValueLayout.JAVA_LONG, 0);
        if (address == 0) {
            return null;
        }
        byte[] bytes = read(address, result.get(ValueLayout.JAVA_LONG, 8));
        release("bytes_free", result.address());
        return bytes;
    }

    private MemorySegment texts(Arena arena, byte[]... texts) {
        MemorySegment all = arena.allocate(16L * texts.length, 8);
        for (int n = 0; n < texts.length; n++) {
            MemorySegment text = arena.allocate(Math.max(1, texts[n].length), 1);
            text.asByteBuffer().put(texts[n]);
            all.set(ValueLayout.JAVA_LONG, 16L * n, text.address());
            all.set(ValueLayout.JAVA_LONG, 16L * n + 8, texts[n].length);
        }
        return all;
    }

    private long stub(
            Object target, String method, Class<?> result, FunctionDescriptor type, Arena arena)
            throws ReflectiveOperationException {
        var signature = MethodType.methodType(result, long.class, long.class, long.class);
        var handle = MethodHandles.lookup().findVirtual(target.getClass(), method, signature);
        return linker.upcallStub(handle.bindTo(target), type, arena).address();
    }

    /** Passes an output on. The caller has to catch exceptions. */
    private static final class Push {
        private final Consumer<byte[]> output;

        Push(Consumer<byte[]> output) {
            this.output = output;
        }

        int push(long user, long data, long length) {
            try {
                output.accept(bytes(MemorySegment.ofAddress(data).reinterpret(length)));
                return 0;
            } catch (Throwable e) {
                return 1;
            }
        }
    }

    /** Provides an input. */
    private static final class Pull {
        private final Input input;

        Pull(Input input) {
            this.input = input;
        }

        long pull(long user, long buffer, long capacity) {
            try {
                byte[] next = input.next((int) Math.min(capacity, 1 << 16));
                MemorySegment.ofAddress(buffer).reinterpret(capacity).asByteBuffer().put(next);
                return next.length;
            } catch (Throwable e) {
                return -1;
            }
        }
    }

    @Override
    public long number(String name, long handle) {
        var type = FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG);
        try {
            return (long) function(name, type).invokeExact(handle);
        } catch (Throwable e) {
            throw failed(name, e);
        }
    }

    @Override
    public byte[] text(String name, long handle) {
        try (Arena arena = Arena.ofConfined()) {
            var type = FunctionDescriptor.of(TEXT, ValueLayout.JAVA_LONG);
            var text = (MemorySegment) function(name, type).invokeWithArguments(arena, handle);
            long address = text.get(ValueLayout.JAVA_LONG, 0);
            return read(address, text.get(ValueLayout.JAVA_LONG, 8));
        } catch (Throwable e) {
            throw failed(name, e);
        }
    }

    @Override
    public void release(String name, long handle) {
        try {
            function(name, FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG)).invokeExact(handle);
        } catch (Throwable e) {
            throw failed(name, e);
        }
    }

    @Override
    public byte[] read(long address, long length) {
        return bytes(MemorySegment.ofAddress(address).reinterpret(length));
    }

    @Override
    public String string(long address) {
        MemorySegment memory = MemorySegment.ofAddress(address).reinterpret(Long.MAX_VALUE);
        long length = 0;
        while (memory.get(ValueLayout.JAVA_BYTE, length) != 0) {
            length++;
        }
        return Native.string(read(address, length));
    }

    private static byte[] bytes(MemorySegment memory) {
        byte[] bytes = new byte[Math.toIntExact(memory.byteSize())];
        memory.asByteBuffer().get(bytes);
        return bytes;
    }

    private MethodHandle function(String name, FunctionDescriptor type) {
        return functions.computeIfAbsent(
                name,
                missing -> {
                    var symbol = lookup.find("jobstore_" + name);
                    var address = symbol.orElseThrow(() -> new UnsatisfiedLinkError(name));
                    return linker.downcallHandle(address, type);
                });
    }

    private static RuntimeException failed(String name, Throwable e) {
        return e instanceof RuntimeException known
                ? known
                : new IllegalStateException("cannot call jobstore_" + name, e);
    }
}
