package android.content;

public class Intent {
    public Class<?> target;
    private String action;

    public Intent() {}

    public Intent(Context context, Class<?> target) {
        this.target = target;
    }

    public Intent setAction(String action) {
        this.action = action;
        return this;
    }

    public String getAction() {
        return action;
    }
}
