// `signalpost config get`: one document as it is stored, or as the file would begin it where nothing is
// stored. Always JSON, so that it can be edited and set again.
import type { LoadedSettings } from "../../../config/load.ts";
import { isoFromMs } from "../../../core/calendar.ts";
import { DOCUMENTS, type DocumentName, type StoredDocument } from "../../../store/store.ts";
import { CONFIG_OPTION, JSON_OPTION, parseOptions, usageError } from "../../options.ts";
import { type Command, EXIT, printable } from "../../terminal.ts";
import { loadFrom, withConfigPath } from "../../with-config.ts";
import { withStore } from "../../with-store.ts";

/** The one document that these words name; throws a usage error. */
export const documentNamed = ([word, ...more]: readonly string[]): DocumentName => {
  const name = DOCUMENTS.find((known) => known === word);
  if (name === undefined || more.length > 0)
    throw usageError(`Name one of ${DOCUMENTS.join(", ")}`);
  return name;
};

const shown = (name: DocumentName, loaded: LoadedSettings, stored: StoredDocument | null) => {
  if (stored === null)
    return { version: 0, updated_at: null, source: "file", document: loaded.documents[name] };
  const { version, updatedMs, document } = stored;
  return { version, updated_at: isoFromMs(updatedMs), source: "document", document };
};

/** Prints the document with its version; from the file when there is no shared store. */
export const getDocument: Command = async (args, terminal) => {
  const { values, positionals } = parseOptions(args, { ...CONFIG_OPTION, ...JSON_OPTION });
  const name = documentNamed(positionals);
  const print = (loaded: LoadedSettings, stored: StoredDocument | null): number => {
    const text = JSON.stringify(shown(name, loaded, stored), null, values.json === true ? 0 : 2);
    terminal.out(terminal.isTty ? printable(text) : text);
    return EXIT.ok;
  };
  return await withConfigPath(values.config, terminal, async (path) => {
    const own = loadFrom(path, terminal);
    if (own.settings.redisUrl === null) return print(own, null);
    return await withStore(values.config, terminal, async (store, loaded) =>
      print(loaded, (await store.readDocuments())[name]),
    );
  });
};
