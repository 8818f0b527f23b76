import java.io.OutputStream;
import java.nio.file.Path;
import jobstore.Page;
import jobstore.Store;

/** The counterpart of examples/bench.rs in Java. */
public final class Bench {
    private static final int ROUNDS = 25;

    private interface Round {
        void run() throws Exception;
    }

    private static final class Counter extends OutputStream {
        long total;

        @Override
        public void write(int b) {
            total++;
        }

        @Override
        public void write(byte[] bytes) {
            total += bytes.length;
        }
    }

    private static long fastest(Round round) throws Exception {
        long best = Long.MAX_VALUE;
        for (int n = 0; n < ROUNDS; n++) {
            long start = System.nanoTime();
            round.run();
            best = Math.min(best, System.nanoTime() - start);
        }
        return best / 1000;
    }

    public static void main(String[] arguments) throws Exception {
        try (var store = Store.open(Path.of(arguments[0]));
                var movie = store.graph("10001", "movie");
                Page page = movie.list("")) {
            var counter = new Counter();
            System.out.println("write " + fastest(() -> page.write(counter)));
            System.out.println("bytes " + fastest(page::json));
        }
    }
}
