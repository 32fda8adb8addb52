// The hot settings with their rules compiled, once per change: a cycle asks for them each time and gets
// the same object until polling, webhook or rules change. Names each refused rule once a change.
import type { Log } from "../app-logging/logger.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { HotInForce } from "../orchestrator/folder-context.ts";
import { compileRules } from "../rules/compile.ts";

/** Compiles on demand. */
export interface HotRules {
  of(loaded: LoadedSettings): HotInForce;
}

/**
 * A compiler that remembers the last configuration it saw; `changed` hears of each new one. A refused
 * rule stays among `configuredRules`: what waits for its destination is not given up for it.
 */
export const createHotRules = (log: Log, changed: (hot: HotInForce) => void): HotRules => {
  let last: { version: string; hot: HotInForce } | null = null;
  return {
    of: ({ version, settings, lineOf }) => {
      // The version stands for the hot part alone: other mailboxes are no reason to warn again.
      if (last?.version === version) return last.hot;
      const { polling, webhook, rules: configuredRules } = settings;
      const { rules, refused } = compileRules(configuredRules, webhook);
      for (const { id, index } of refused) {
        log("config.rule_refused", { rule: id, line: lineOf(`rules.${index}`) });
      }
      last = { version, hot: { polling, webhook, rules, configuredRules } };
      changed(last.hot);
      return last.hot;
    },
  };
};
