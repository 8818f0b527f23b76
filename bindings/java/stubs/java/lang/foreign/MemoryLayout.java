package java.lang.foreign;

public interface MemoryLayout {
    static StructLayout structLayout(MemoryLayout... elements) {
        return null;
    }
}
