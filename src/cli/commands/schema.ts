// `signalpost schema`: the JSON Schema of signalpost.yaml, made from the same schema that validates it.
// Editors complete and check the file with it.
import { settingsJsonSchema } from "../../config/json-schema.ts";
import { parseFlags } from "../options.ts";
import { type Command, EXIT } from "../terminal.ts";

/** Prints the schema. */
export const schema: Command = async (args, { out }) => {
  parseFlags(args, {});
  out(JSON.stringify(settingsJsonSchema(), null, 2));
  return EXIT.ok;
};
