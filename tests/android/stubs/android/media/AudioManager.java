package android.media;

import java.util.List;

public class AudioManager {
    public abstract static class AudioRecordingCallback {
        public void onRecordingConfigChanged(List<AudioRecordingConfiguration> configs) {}
    }
}
