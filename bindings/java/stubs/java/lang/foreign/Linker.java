package java.lang.foreign;

import java.lang.invoke.MethodHandle;

public interface Linker {
    static Linker nativeLinker() {
        return null;
    }

    MethodHandle downcallHandle(MemorySegment address, FunctionDescriptor type, Option... options);

    MemorySegment upcallStub(
            MethodHandle target, FunctionDescriptor type, Arena arena, Option... options);

    interface Option {}
}
