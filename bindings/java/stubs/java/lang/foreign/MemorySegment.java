package java.lang.foreign;

public interface MemorySegment {
    static MemorySegment ofAddress(long address) {
        return null;
    }

    MemorySegment reinterpret(long newSize);

    long address();

    long byteSize();

    java.nio.ByteBuffer asByteBuffer();

    byte get(ValueLayout.OfByte layout, long offset);

    long get(ValueLayout.OfLong layout, long offset);

    void set(ValueLayout.OfLong layout, long offset, long value);
}
