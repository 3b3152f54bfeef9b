package android.content.res;

import java.io.File;
import org.tussis.stub.Desk;

/** The resources that the application ships, found in its folder res. */
public class Resources {
    public Configuration getConfiguration() {
        Configuration configuration = new Configuration();
        configuration.fontScale = (float) Desk.fontScale;
        return configuration;
    }

    public int getIdentifier(String name, String defType, String defPackage) {
        boolean isShipped = new File(System.getProperty("tussis.res"), defType + "/" + name + ".xml").isFile();
        return isShipped && defPackage.equals("org.tussis.app") ? 42 : 0;
    }
}
