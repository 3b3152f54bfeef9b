package org.tussis.app;

import android.content.Context;
import android.media.AudioFormat;
import android.media.AudioManager;
import android.media.AudioRecord;
import android.media.AudioRecordingConfiguration;
import android.os.Build;
import android.os.Process;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.Executor;

/**
 * Reads the microphone on a thread of its own into a ring, so that a Python thread which is late loses nothing.
 *
 * Sound is 16-bit, little-endian, mono. Python polls: take() for sound, takeLost() for what was lost before it.
 */
public final class Capture {
    public static final int OK = 0;
    public static final int REFUSED = 1; // by Android: no permission, or the app is in the background
    public static final int NO_DEVICE = 2; // no microphone that records at this rate
    public static final int BUSY = 3; // another app has it and does not share
    public static final int DEAD = 4; // the sound server ended; a new Capture may work
    public static final int READ_FAILED = 5;

    private static final int BYTES_PER_SAMPLE = 2;
    private static final int READS_PER_S = 50;
    private static final long JOIN_MS = 1000;

    private final int source;
    private final int rateHz;
    private final byte[] ring;
    private final ArrayDeque<long[]> gaps = new ArrayDeque<>(); // {place in bytes since the start, bytes lost there}
    private long writtenBytes;
    private long takenBytes;
    private AudioRecord record;
    private Object silencing;
    private Thread thread;
    private volatile boolean isWanted;
    private volatile boolean isSilenced;
    private volatile int error;

    /** source: of MediaRecorder.AudioSource; ringS: seconds of sound that Python may be late. */
    public Capture(int source, int rateHz, int ringS) {
        this.source = source;
        this.rateHz = rateHz;
        this.ring = new byte[rateHz * ringS * BYTES_PER_SAMPLE];
    }

    /** Begin to record; OK, or why not. A Capture starts once. */
    public int start(Context context) {
        int least = AudioRecord.getMinBufferSize(rateHz, AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT);
        if (least <= 0) {
            return NO_DEVICE;
        }
        int code = open(Math.max(4 * least, rateHz * BYTES_PER_SAMPLE));
        if (code == OK) {
            code = begin();
        }
        if (code != OK) {
            release();
            return code;
        }
        if (Build.VERSION.SDK_INT >= 29) {
            silencing = Api29.listen(this, record);
        }
        isWanted = true;
        AudioRecord open = record;
        thread = new Thread(() -> read(open), "tussis-capture");
        thread.start();
        return OK;
    }

    /** At most this many bytes of sound, up to the next loss; empty where there is none. */
    public synchronized byte[] take(int atMostBytes) {
        long[] gap = gaps.peek();
        long end = gap == null ? writtenBytes : gap[0];
        int n = (int) Math.min(atMostBytes - atMostBytes % BYTES_PER_SAMPLE, end - takenBytes);
        byte[] sound = new byte[n];
        int from = (int) (takenBytes % ring.length);
        int first = Math.min(n, ring.length - from);
        System.arraycopy(ring, from, sound, 0, first);
        System.arraycopy(ring, 0, sound, first, n - first);
        takenBytes += n;
        return sound;
    }

    /** Samples that were lost just before what take() gives next; told once. */
    public synchronized long takeLost() {
        long[] gap = gaps.peek();
        if (gap == null || gap[0] > takenBytes) {
            return 0;
        }
        gaps.remove();
        return gap[1] / BYTES_PER_SAMPLE;
    }

    /** Why the recording ended by itself; OK while it has not. */
    public int error() {
        return error;
    }

    /** Whether Android gives silence because another app has the microphone; from API 29 on. */
    public boolean isSilenced() {
        return isSilenced;
    }

    /** What Android set up: the rate in Hz and the source. */
    public String settings() {
        AudioRecord open = record;
        return open == null ? "" : open.getSampleRate() + " " + open.getAudioSource();
    }

    /** End the recording and its thread. What is in the ring can still be taken. */
    public void stop() {
        isWanted = false;
        Thread reader = thread;
        if (reader != null && reader != Thread.currentThread()) {
            try {
                reader.join(JOIN_MS);
            } catch (InterruptedException interruption) {
                Thread.currentThread().interrupt();
            }
        }
        thread = null;
        release();
    }

    private int open(int bufferBytes) {
        AudioFormat format = new AudioFormat.Builder()
                .setEncoding(AudioFormat.ENCODING_PCM_16BIT)
                .setSampleRate(rateHz)
                .setChannelMask(AudioFormat.CHANNEL_IN_MONO)
                .build();
        AudioRecord.Builder builder = new AudioRecord.Builder()
                .setAudioSource(source)
                .setAudioFormat(format)
                .setBufferSizeInBytes(bufferBytes);
        if (Build.VERSION.SDK_INT >= 30) {
            Api30.keepPrivate(builder);
        }
        try {
            record = builder.build();
        } catch (SecurityException refusal) {
            return REFUSED;
        } catch (UnsupportedOperationException | IllegalArgumentException failure) {
            return NO_DEVICE;
        }
        return record.getState() == AudioRecord.STATE_INITIALIZED ? OK : NO_DEVICE;
    }

    private int begin() {
        try {
            record.startRecording();
        } catch (IllegalStateException | SecurityException failure) {
            return failure instanceof SecurityException ? REFUSED : NO_DEVICE;
        }
        return record.getRecordingState() == AudioRecord.RECORDSTATE_RECORDING ? OK : BUSY;
    }

    private void read(AudioRecord record) {
        Process.setThreadPriority(Process.THREAD_PRIORITY_URGENT_AUDIO);
        byte[] block = new byte[rateHz / READS_PER_S * BYTES_PER_SAMPLE];
        while (isWanted) {
            int n = record.read(block, 0, block.length);
            boolean isOver = n == 0 && record.getRecordingState() != AudioRecord.RECORDSTATE_RECORDING;
            if (n < 0 || isOver) {
                error = n == AudioRecord.ERROR_DEAD_OBJECT ? DEAD : READ_FAILED;
                return;
            }
            keep(block, n);
        }
    }

    private synchronized void keep(byte[] block, int n) {
        int free = (int) (ring.length - (writtenBytes - takenBytes));
        int kept = Math.min(n, free);
        int at = (int) (writtenBytes % ring.length);
        int first = Math.min(kept, ring.length - at);
        System.arraycopy(block, 0, ring, at, first);
        System.arraycopy(block, first, ring, 0, kept - first);
        writtenBytes += kept;
        if (kept < n) {
            noteLoss(n - kept);
        }
    }

    private void noteLoss(int bytes) {
        long[] last = gaps.peekLast();
        if (last != null && last[0] == writtenBytes) {
            last[1] += bytes;
        } else {
            gaps.add(new long[] {writtenBytes, bytes});
        }
    }

    private synchronized void release() {
        if (record == null) {
            return;
        }
        if (Build.VERSION.SDK_INT >= 29) {
            Api29.forget(record, silencing);
        }
        record.release();
        record = null;
    }

    private static final class Api29 {
        static Object listen(Capture capture, AudioRecord record) {
            AudioManager.AudioRecordingCallback callback = new AudioManager.AudioRecordingCallback() {
                @Override
                public void onRecordingConfigChanged(List<AudioRecordingConfiguration> configurations) {
                    note(capture, record);
                }
            };
            Executor atOnce = Runnable::run;
            record.registerAudioRecordingCallback(atOnce, callback);
            note(capture, record);
            return callback;
        }

        static void note(Capture capture, AudioRecord record) {
            AudioRecordingConfiguration active = record.getActiveRecordingConfiguration();
            capture.isSilenced = active != null && active.isClientSilenced();
        }

        static void forget(AudioRecord record, Object callback) {
            if (callback != null) {
                record.unregisterAudioRecordingCallback((AudioManager.AudioRecordingCallback) callback);
            }
        }
    }

    private static final class Api30 {
        static void keepPrivate(AudioRecord.Builder builder) {
            builder.setPrivacySensitive(true);
        }
    }
}
