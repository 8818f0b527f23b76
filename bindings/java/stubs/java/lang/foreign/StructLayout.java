package java.lang.foreign;

public interface StructLayout extends MemoryLayout {}
