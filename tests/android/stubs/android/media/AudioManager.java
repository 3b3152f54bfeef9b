package android.media;

import java.util.List;
import org.tussis.stub.Microphone;

public class AudioManager {
    public static final int STREAM_MUSIC = 3;
    public static final String PROPERTY_SUPPORT_AUDIO_SOURCE_UNPROCESSED =
            "android.media.property.SUPPORT_AUDIO_SOURCE_UNPROCESSED";

    public String getProperty(String key) {
        return key.equals(PROPERTY_SUPPORT_AUDIO_SOURCE_UNPROCESSED) ? String.valueOf(Microphone.hasUnprocessed) : null;
    }

    public abstract static class AudioRecordingCallback {
        public void onRecordingConfigChanged(List<AudioRecordingConfiguration> configs) {}
    }
}
