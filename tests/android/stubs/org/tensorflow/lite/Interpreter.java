package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.tussis.stub.Backend;

/** Passes its buffers on to the model behind it, and refuses what LiteRT's own refuses. */
public final class Interpreter implements AutoCloseable {
    public static volatile Backend backend;
    public static volatile int open;

    private final Map<String, Map<String, Tensor>> inputs = new LinkedHashMap<>();
    private final Map<String, Map<String, Tensor>> outputs = new LinkedHashMap<>();
    private boolean isClosed;

    public Interpreter(ByteBuffer byteBuffer, Options options) {
        if (!byteBuffer.isDirect()) {
            throw new IllegalArgumentException("Model ByteBuffer should be a direct ByteBuffer");
        }
        String answer = backend.open(byteBuffer, options.threads, options.isXnnpack);
        if (answer.startsWith("error ")) {
            throw new IllegalArgumentException(answer.substring("error ".length()));
        }
        for (String line : answer.split("\n")) {
            String[] words = line.split(" ");
            if (words[0].equals("signature")) {
                inputs.put(words[1], new TreeMap<>());
                outputs.put(words[1], new TreeMap<>());
            } else if (words.length == 5) {
                (words[0].equals("input") ? inputs : outputs).get(words[1]).put(words[2], tensor(words[3], words[4]));
            }
        }
        open++;
    }

    public String[] getSignatureKeys() {
        return inputs.keySet().toArray(new String[0]);
    }

    public String[] getSignatureInputs(String signatureKey) {
        return inputs.get(signatureKey).keySet().toArray(new String[0]);
    }

    public String[] getSignatureOutputs(String signatureKey) {
        List<String> names = new ArrayList<>(outputs.get(signatureKey).keySet());
        Collections.reverse(names); // LiteRT promises no order
        return names.toArray(new String[0]);
    }

    public Tensor getInputTensorFromSignature(String inputName, String signatureKey) {
        return inputs.get(signatureKey).get(inputName);
    }

    public Tensor getOutputTensorFromSignature(String outputName, String signatureKey) {
        return outputs.get(signatureKey).get(outputName);
    }

    public void runSignature(Map<String, Object> given, Map<String, Object> wanted, String signatureKey) {
        if (isClosed) {
            throw new IllegalStateException("Internal error: The Interpreter has already been closed.");
        }
        ByteBuffer input = (ByteBuffer) given.values().iterator().next();
        int bytes = inputs.get(signatureKey).values().iterator().next().numBytes();
        if (input.remaining() != bytes) {
            throw new IllegalArgumentException("a buffer with " + input.remaining() + " bytes for a tensor of " + bytes);
        }
        ByteBuffer answer = backend.run(signatureKey, input);
        if (answer == null) {
            throw new IllegalStateException("Internal error: Failed to run on the given Interpreter");
        }
        input.position(input.limit()); // as one that reads from it leaves it
        for (String name : outputs.get(signatureKey).keySet()) {
            ByteBuffer output = (ByteBuffer) wanted.get(name);
            int size = outputs.get(signatureKey).get(name).numBytes();
            if (output.remaining() < size) {
                throw new IllegalArgumentException("the buffer of " + name + " is too small");
            }
            ByteBuffer part = answer.duplicate();
            part.limit(part.position() + size);
            output.put(part);
            answer.position(answer.position() + size);
        }
    }

    @Override
    public void close() {
        if (!isClosed) {
            open--;
        }
        isClosed = true;
    }

    private static Tensor tensor(String type, String sizes) {
        String[] words = sizes.split(",");
        int[] shape = new int[words.length];
        int count = 1;
        for (int i = 0; i < words.length; i++) {
            shape[i] = Integer.parseInt(words[i]);
            count *= shape[i];
        }
        int bytes = count * (type.equals("INT8") ? 1 : 4);
        return new Tensor() {
            @Override
            public DataType dataType() {
                return DataType.valueOf(type);
            }

            @Override
            public int numBytes() {
                return bytes;
            }

            @Override
            public int[] shape() {
                return shape.clone();
            }
        };
    }

    public static class Options {
        int threads = -1;
        boolean isXnnpack;

        public Options setNumThreads(int numThreads) {
            threads = numThreads;
            return this;
        }

        public Options setUseXNNPACK(boolean useXNNPACK) {
            isXnnpack = useXNNPACK;
            return this;
        }
    }
}
