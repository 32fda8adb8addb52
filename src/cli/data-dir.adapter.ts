// Looks at the data directory without touching it, because a command that only reads must leave no
// trace where no daemon ever ran. Called before the store is opened, and by `check`.
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DATABASE_FILE } from "../store/sqlite.adapter.ts";

/** Does a database lie in the directory? */
export const hasDatabase = (dataDir: string): boolean => existsSync(join(dataDir, DATABASE_FILE));

const isWritableDirectory = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
};

/** Could this user write there, or make the directory where its nearest parent stands? */
export const isUsableDataDir = (dataDir: string): boolean => {
  const parent = dirname(dataDir);
  if (existsSync(dataDir) || parent === dataDir) return isWritableDirectory(dataDir);
  return isUsableDataDir(parent);
};
