// `signalpost run`: the daemon, until it is stopped. This file only finds the configuration; what runs
// is in daemon/.
import { TIMING } from "../../daemon/cluster/cluster.ts";
import { runDaemon } from "../../daemon/run.ts";
import { CONFIG_OPTION, parseFlags } from "../options.ts";
import type { Command } from "../terminal.ts";
import { withConfigPath } from "../with-config.ts";

/** Runs the daemon and returns its exit code; 78 when the configuration cannot be used. */
export const run: Command = async (args, terminal) => {
  const { config } = parseFlags(args, CONFIG_OPTION);
  return await withConfigPath(
    config,
    terminal,
    async (configPath) =>
      await runDaemon({
        configPath,
        env: terminal.env,
        version: terminal.versions.signalpost,
        timing: TIMING,
      }),
  );
};
