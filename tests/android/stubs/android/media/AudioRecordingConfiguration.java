package android.media;

import org.tussis.stub.Microphone;
import org.tussis.stub.Since;

public final class AudioRecordingConfiguration {
    public boolean isClientSilenced() {
        Since.api(29);
        return Microphone.isSilenced;
    }
}
