// `signalpost version`: which Signalpost this is and on which Node it runs, for bug reports and for the
// scripts that check a deployment.
import { JSON_OPTION, parseFlags } from "../options.ts";
import { type Command, EXIT } from "../terminal.ts";

/** Prints both versions. */
export const version: Command = async (args, { out, versions }) => {
  const { json } = parseFlags(args, JSON_OPTION);
  const { signalpost, node } = versions;
  out(
    json === true
      ? JSON.stringify({ version: signalpost, node })
      : `signalpost ${signalpost} (Node ${node})`,
  );
  return EXIT.ok;
};
