package org.tussis.stub;

import java.nio.ByteBuffer;

/** The model that stands behind the stub Interpreter; the tests implement it in Python with ai-edge-litert. */
public interface Backend {
    /** Open a model; lines "signature NAME" and "side signature name type size,size". An error begins with "error ". */
    String open(ByteBuffer model, int threads, boolean xnnpack);

    /** Run once; the outputs in the order of names, or null where the runtime refuses. */
    ByteBuffer run(String signature, ByteBuffer input);
}
