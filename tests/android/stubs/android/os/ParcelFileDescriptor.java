package android.os;

import java.io.FileDescriptor;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import org.tussis.stub.Desk;

public class ParcelFileDescriptor {
    private static final List<RandomAccessFile> detached = new ArrayList<>();
    private final RandomAccessFile file;

    public ParcelFileDescriptor(String path, String mode) throws FileNotFoundException {
        if (mode.equals("r") && Desk.losesLastByte) {
            try (RandomAccessFile shortened = new RandomAccessFile(path, "rw")) {
                shortened.setLength(Math.max(0, shortened.length() - 1));
            } catch (IOException failure) {
                throw new FileNotFoundException(path);
            }
        }
        file = new RandomAccessFile(path, mode.equals("r") ? "r" : "rw");
    }

    /** The number of the open file, which whoever asked for it closes. */
    public int detachFd() {
        try {
            detached.add(file); // never collected, so that Java does not close it as well
            Field number = FileDescriptor.class.getDeclaredField("fd");
            number.setAccessible(true);
            return number.getInt(file.getFD());
        } catch (ReflectiveOperationException | IOException failure) {
            throw new IllegalStateException(failure);
        }
    }
}
