// The configuration as a JSON Schema, for editors and for `signalpost schema`. Made from the schema
// that validates, so it cannot say anything else.
import { z } from "zod";
import { settingsSchema } from "./schema.ts";

/** JSON Schema (draft 2020-12) of `signalpost.yaml` as it is written, before defaults. */
export const settingsJsonSchema = (): object => ({
  title: "signalpost.yaml",
  ...z.toJSONSchema(settingsSchema, { io: "input" }),
});
