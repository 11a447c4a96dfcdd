"""Native code of inner loops: a small compiler from annotated Python over integers, floats and arrays to LLVM."""
