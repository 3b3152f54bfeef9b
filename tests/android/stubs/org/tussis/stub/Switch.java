package org.tussis.stub;

import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import org.tensorflow.lite.Interpreter;

/** Sets and reads static fields by name, which Python cannot. */
public final class Switch {
    private Switch() {}

    public static void set(String type, String field, double value) throws ReflectiveOperationException {
        Field switched = Class.forName(type).getField(field);
        if (switched.getType() == boolean.class) {
            switched.setBoolean(null, value != 0);
        } else if (switched.getType() == int.class) {
            switched.setInt(null, (int) value);
        } else if (switched.getType() == long.class) {
            switched.setLong(null, (long) value);
        } else {
            switched.setDouble(null, value);
        }
    }

    public static double get(String type, String field) throws ReflectiveOperationException {
        Object value = Class.forName(type).getField(field).get(null);
        return value instanceof Boolean ? ((Boolean) value ? 1 : 0) : ((Number) value).doubleValue();
    }

    public static void use(Backend backend) {
        Interpreter.backend = backend;
    }

    /** Run no model any more: answer with these outputs from Java. */
    public static void answerAlways(byte[] outputs) {
        Interpreter.backend = new Backend() {
            @Override
            public String open(ByteBuffer model, int threads, boolean xnnpack) {
                return "error no model is opened any more";
            }

            @Override
            public ByteBuffer run(String signature, ByteBuffer input) {
                return ByteBuffer.wrap(outputs);
            }
        };
    }

    /** Threads of this name that run now. */
    public static int threads(String name) {
        int count = 0;
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            count += thread.getName().equals(name) ? 1 : 0;
        }
        return count;
    }
}
