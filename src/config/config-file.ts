// The contract of reading a configuration file, so that a simulator can rewrite it under the daemon.

/** A file as it is now; `stamp` (size and mtime) tells a change without reading. */
export interface ConfigFileState {
  stamp: string;
  text: string;
}

/** Reads the file, or a secret file named in it; null when it does not exist. Throws what fails else. */
export type ReadConfigFile = (path: string) => ConfigFileState | null;
