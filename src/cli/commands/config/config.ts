// `signalpost config`: the documents of the shared store, which every node takes while it runs. One is read
// by `get` and replaced as a whole by `set`; both files beside this one do the work.
import { usageError } from "../../options.ts";
import type { Command } from "../../terminal.ts";
import { getDocument } from "./get-document.ts";
import { setDocument } from "./set-document.ts";

/** `signalpost config get|set`. */
export const config: Command = async ([verb, ...args], terminal) => {
  switch (verb) {
    case "get":
      return await getDocument(args, terminal);
    case "set":
      return await setDocument(args, terminal);
    default:
      throw usageError("Say get or set");
  }
};
