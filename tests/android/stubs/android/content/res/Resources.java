package android.content.res;

import java.io.File;

/** The resources that the application ships, found in its folder res. */
public class Resources {
    public int getIdentifier(String name, String defType, String defPackage) {
        boolean isShipped = new File(System.getProperty("tussis.res"), defType + "/" + name + ".xml").isFile();
        return isShipped && defPackage.equals("org.tussis.app") ? 42 : 0;
    }
}
