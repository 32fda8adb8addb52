// Opens the store of the configured data directory for one command and closes it after. It promises to
// make nothing where no daemon ever ran: then it says so and the command ends with 1.
import { resolve } from "node:path";
import type { LoadedSettings } from "../config/load.ts";
import { systemRandom } from "../daemon/system.adapter.ts";
import { createSqliteStore } from "../store/sqlite.ts";
import { openSqliteFile } from "../store/sqlite.adapter.ts";
import type { Store } from "../store/store.ts";
import { hasDatabase } from "./data-dir.adapter.ts";
import { type Terminal, EXIT } from "./terminal.ts";
import { loadFrom, withConfigPath } from "./with-config.ts";

/** Runs `work` on the store; rejects as the store does, or returns 78 for a bad configuration. */
export const withStore = async (
  flag: string | undefined,
  terminal: Terminal,
  work: (store: Store, loaded: LoadedSettings) => Promise<number>,
): Promise<number> =>
  await withConfigPath(flag, terminal, async (path) => {
    const loaded = loadFrom(path, terminal);
    const dataDir = resolve(terminal.cwd, loaded.settings.dataDir);
    if (!hasDatabase(dataDir)) {
      terminal.err(
        `signalpost: no database in ${dataDir}: no daemon has run with this data_dir yet. ` +
          "Start one with 'signalpost run', or name its configuration with --config.",
      );
      return EXIT.failed;
    }
    const database = openSqliteFile(dataDir);
    const { spoolKeys } = loaded.settings;
    const store = createSqliteStore({ database, random: systemRandom, spoolKeys });
    try {
      return await work(store, loaded);
    } finally {
      await store.close();
    }
  });
