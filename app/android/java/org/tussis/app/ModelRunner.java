package org.tussis.app;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;
import org.tensorflow.lite.TensorFlowLite;

/**
 * Runs one signature of a model: the bytes of its only input in, the bytes of its outputs in the order of names out.
 *
 * One thread at a time may use it. What LiteRT refuses comes out as its own exception.
 */
public final class ModelRunner implements AutoCloseable {
    private final Interpreter interpreter;
    private final String signature;
    private final Map<String, Object> inputs = new LinkedHashMap<>();
    private final Map<String, Object> outputs = new LinkedHashMap<>();
    private final ByteBuffer modelBuffer; // LiteRT reads the model from it as long as it lives
    private int outputBytes;
    private String description;

    /** model: a .tflite file's content; threads: at least 1; xnnpack: false for the built-in kernels. */
    public ModelRunner(byte[] model, String signature, int threads, boolean xnnpack) {
        this.signature = signature;
        modelBuffer = direct(model.length);
        modelBuffer.put(model);
        modelBuffer.rewind();
        interpreter = new Interpreter(
                modelBuffer, new Interpreter.Options().setNumThreads(threads).setUseXNNPACK(xnnpack));
        try {
            describe();
        } catch (RuntimeException failure) {
            interpreter.close();
            throw failure;
        }
    }

    /** Version of LiteRT. */
    public static String runtime() {
        return TensorFlowLite.runtimeVersion();
    }

    /** The signatures of the model, and the tensors of the one that was asked for: lines "side name type size,size". */
    public String description() {
        return description;
    }

    /** Run once. waveform: as many bytes as the input takes. */
    public byte[] run(byte[] waveform) {
        ByteBuffer input = (ByteBuffer) inputs.values().iterator().next();
        input.clear();
        input.put(waveform);
        input.rewind();
        for (Object output : outputs.values()) {
            ((ByteBuffer) output).clear();
        }
        interpreter.runSignature(inputs, outputs, signature);
        ByteBuffer all = ByteBuffer.allocate(outputBytes);
        for (Object output : outputs.values()) {
            ByteBuffer buffer = (ByteBuffer) output;
            buffer.clear();
            all.put(buffer);
        }
        return all.array();
    }

    /** Run `runs` times with one input; nanoseconds of each: input copied, model invoked, outputs read. */
    public long[] time(byte[] waveform, int runs) {
        long[] took = new long[runs];
        for (int i = 0; i < runs; i++) {
            long start = System.nanoTime();
            run(waveform);
            took[i] = System.nanoTime() - start;
        }
        return took;
    }

    @Override
    public void close() {
        interpreter.close();
    }

    private void describe() {
        String[] signatures = interpreter.getSignatureKeys();
        Arrays.sort(signatures);
        StringBuilder text = new StringBuilder();
        for (String name : signatures) {
            text.append("signature ").append(name).append('\n');
        }
        if (Arrays.asList(signatures).contains(signature)) {
            for (String name : interpreter.getSignatureInputs(signature)) {
                Tensor tensor = interpreter.getInputTensorFromSignature(name, signature);
                inputs.put(name, direct(tensor.numBytes()));
                text.append(line("input", name, tensor));
            }
            Map<String, Tensor> byName = new TreeMap<>();
            for (String name : interpreter.getSignatureOutputs(signature)) {
                byName.put(name, interpreter.getOutputTensorFromSignature(name, signature));
            }
            for (Map.Entry<String, Tensor> output : byName.entrySet()) {
                outputs.put(output.getKey(), direct(output.getValue().numBytes()));
                outputBytes += output.getValue().numBytes();
                text.append(line("output", output.getKey(), output.getValue()));
            }
        }
        description = text.toString();
    }

    private static String line(String side, String name, Tensor tensor) {
        StringBuilder shape = new StringBuilder();
        for (int size : tensor.shape()) {
            shape.append(shape.length() == 0 ? "" : ",").append(size);
        }
        return side + " " + name + " " + tensor.dataType() + " " + shape + "\n";
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }
}
