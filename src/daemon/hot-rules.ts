// The hot settings with their rules compiled, once per change: a cycle asks for them each time and gets
// the same object until the configuration changes. Names each refused rule once.
import type { Log } from "../app-logging/logger.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { HotInForce } from "../orchestrator/folder-context.ts";
import { compileRules } from "../rules/compile.ts";

/** Compiles on demand. */
export interface HotRules {
  of(loaded: LoadedSettings): HotInForce;
}

/** A compiler that remembers the last configuration it saw; `changed` hears of each new one. */
export const createHotRules = (log: Log, changed: (hot: HotInForce) => void): HotRules => {
  let last: { loaded: LoadedSettings; hot: HotInForce } | null = null;
  return {
    of: (loaded) => {
      if (last?.loaded === loaded) return last.hot;
      const { polling, webhook, rules: configuredRules } = loaded.settings;
      const { rules, refused } = compileRules(configuredRules, webhook);
      for (const { id } of [...loaded.refusedRules, ...refused]) {
        log("config.rule_refused", { rule: id });
      }
      last = { loaded, hot: { polling, webhook, rules, configuredRules } };
      changed(last.hot);
      return last.hot;
    },
  };
};
