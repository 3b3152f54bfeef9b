package android.view;

public class View {
    public WindowInsets getRootWindowInsets() {
        return new WindowInsets();
    }
}
