// The daemon of `signalpost run`, its lease and cluster at another scale: `scaled-daemon.ts 0.1 run --config
// FILE`. Started as a process by daemon-process.ts, so that what takes minutes in earnest is tested in
// seconds. A configuration that cannot be used ends it with 78, as the command does.
import { ConfigError } from "../../src/core/errors.ts";
import { runDaemon } from "../../src/daemon/run.ts";
import { scaledTiming } from "./timing.ts";

const [scale, , , configPath = null] = process.argv.slice(2);
try {
  const timing = scaledTiming(Number(scale));
  const { env } = process;
  process.exitCode = await runDaemon({ configPath, env, version: "0.0.0-test", timing });
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 78;
}
