package java.lang.foreign;

public interface Arena extends SegmentAllocator, AutoCloseable {
    static Arena global() {
        return null;
    }

    static Arena ofConfined() {
        return null;
    }

    @Override
    MemorySegment allocate(long byteSize, long byteAlignment);

    @Override
    void close();
}
