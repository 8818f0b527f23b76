package jobstore;

import com.sun.jna.Callback;
import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** The library through JNA, for Java before version 22. */
final class JnaBackend implements Backend {
    private final NativeLibrary library;
    private final Map<String, Function> functions = new ConcurrentHashMap<>();

    JnaBackend(String name) {
        library = NativeLibrary.getInstance(name);
    }

    /** A text that is passed or returned by value. */
    @Structure.FieldOrder({"ptr", "len"})
    public static final class Text extends Structure implements Structure.ByValue {
        /** The first byte. */
        public Pointer ptr;

        /** The length in bytes. */
        public long len;
    }

    /** Receives an output. */
    public interface Push extends Callback {
        /** Passes a part on. */
        int push(Pointer user, Pointer data, long length);
    }

    /** Provides an input. */
    public interface Pull extends Callback {
        /** Fills a buffer. */
        long pull(Pointer user, Pointer buffer, long capacity);
    }

    @Override
    public int call(String name, Object... arguments) {
        List<Object> kept = new ArrayList<>();
        Object[] values = new Object[arguments.length];
        for (int n = 0; n < arguments.length; n++) {
            values[n] = value(arguments[n], kept);
        }
        int code = function(name).invokeInt(values);
        for (int n = 0; n < arguments.length; n++) {
            if (arguments[n] instanceof Out out) {
                out.bytes = ((Memory) values[n]).getByteArray(0, out.size);
            } else if (arguments[n] instanceof OutBytes out) {
                out.bytes = take((Memory) values[n]);
            }
        }
        java.lang.ref.Reference.reachabilityFence(kept);
        return code;
    }

    private byte[] take(Memory result) {
        Pointer address = result.getPointer(0);
        if (address == null) {
            return null;
        }
        byte[] bytes = address.getByteArray(0, Math.toIntExact(result.getLong(8)));
        function("bytes_free").invokeVoid(new Object[] {result});
        return bytes;
    }

    private static Object value(Object argument, List<Object> kept) {
        if (argument instanceof byte[] bytes) {
            Text text = new Text();
            text.ptr = memory(bytes, kept);
            text.len = bytes.length;
            return text;
        } else if (argument instanceof byte[][] texts) {
            Memory all = new Memory(16L * texts.length);
            for (int n = 0; n < texts.length; n++) {
                all.setPointer(16L * n, memory(texts[n], kept));
                all.setLong(16L * n + 8, texts[n].length);
            }
            return all;
        } else if (argument instanceof Out out) {
            Memory memory = new Memory(out.size);
            memory.clear();
            return memory;
        } else if (argument instanceof OutBytes) {
            Memory memory = new Memory(16);
            memory.clear();
            return memory;
        } else if (argument instanceof Input input) {
            Pull pull =
                    (user, buffer, capacity) -> {
                        try {
                            byte[] next = input.next((int) Math.min(capacity, 1 << 16));
                            buffer.write(0, next, 0, next.length);
                            return next.length;
                        } catch (Throwable e) {
                            return -1;
                        }
                    };
            kept.add(pull);
            return pull;
        } else if (argument instanceof Consumer<?>) {
            @SuppressWarnings("unchecked")
            var output = (Consumer<byte[]>) argument;
            Push push =
                    (user, data, length) -> {
                        try {
                            output.accept(data.getByteArray(0, Math.toIntExact(length)));
                            return 0;
                        } catch (Throwable e) {
                            return 1;
                        }
                    };
            kept.add(push);
            return push;
        }
        return argument;
    }

    private static Memory memory(byte[] bytes, List<Object> kept) {
        Memory memory = new Memory(Math.max(1, bytes.length));
        memory.write(0, bytes, 0, bytes.length);
        kept.add(memory);
        return memory;
    }

    @Override
    public long number(String name, long handle) {
        return function(name).invokeLong(new Object[] {handle});
    }

    @Override
    public byte[] text(String name, long handle) {
        Text text = (Text) function(name).invoke(Text.class, new Object[] {handle});
        return text.len == 0 ? new byte[0] : text.ptr.getByteArray(0, Math.toIntExact(text.len));
    }

    @Override
    public void release(String name, long handle) {
        function(name).invokeVoid(new Object[] {handle});
    }

    @Override
    public byte[] read(long address, long length) {
        return new Pointer(address).getByteArray(0, Math.toIntExact(length));
    }

    @Override
    public String string(long address) {
        return new Pointer(address).getString(0, "UTF-8");
    }

    private Function function(String name) {
        return functions.computeIfAbsent(name, missing -> library.getFunction("jobstore_" + name));
    }
}
