import java.util.ArrayList;
import java.util.List;
import java.util.zip.Inflater;

/** A Java heap of MEGABYTES that is kept, beside a malloc heap that only it points to: inflaters,
 * which are never ended.  Runs for SECONDS. */
public class Beside {
    static final List<byte[]> kept = new ArrayList<>();
    static final List<Inflater> inflaters = new ArrayList<>();
    static volatile Object garbage;

    public static void main(String[] arguments) throws Exception {
        int megabytes = Integer.parseInt(arguments[0]);
        for (int i = 0; i < megabytes; i++)
            kept.add(new byte[1 << 20]);
        for (int i = 0; i < 300; i++)
            inflaters.add(new Inflater());
        long end = System.nanoTime() + Long.parseLong(arguments[1]) * 1_000_000_000L;
        while (System.nanoTime() < end) {
            for (int i = 0; i < 64; i++)
                garbage = new byte[4096];
            Thread.sleep(1);
        }
        System.out.println("done " + kept.size() + " " + inflaters.size());
    }
}
