// The bricks of the configuration schema: fields that say in one sentence what to write, and checks
// over several fields. The sections are built from them; every error text is fixed, so that no value
// of the file can slip into a message.
import { z } from "zod";
import { dayFromNumber, numberFromDay } from "../../core/calendar.ts";

/** What the generated documentation tells of a key, beside what the schema itself knows. */
export interface FieldMeta {
  description: string;
  /** Unit of the number: `seconds`, `bytes`. */
  unit?: string;
  /** Further names in the environment, beside `SIGNALPOST_<PATH>`. */
  environment?: readonly string[];
  /** Shown in place of the default where it depends on other keys. */
  defaultText?: string;
  /** Never shown, logged or stored in a document. */
  secret?: true;
  /** May be one text or a list of them. */
  list?: true;
}

/** A section: unknown keys are errors. */
export const section = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys" ? undefined : "write the keys of this section under it",
  });

/** `true` or `false`. */
export const flag = (byDefault: boolean, meta: FieldMeta) =>
  z
    .boolean({ error: "write true or false" })
    .default(byDefault)
    .meta({ ...meta });

/** A whole number of `min` to `max`. */
export const wholeNumber = (range: { min: number; max: number; error?: string }) => {
  const error = range.error ?? `write a whole number from ${range.min} to ${range.max}`;
  return z.int({ error }).min(range.min, { error }).max(range.max, { error });
};

/** A text that matches `pattern`. */
export const textLike = (pattern: RegExp, error: string) =>
  z.string({ error }).regex(pattern, { error });

/** A text that is not blank and holds no control characters. */
export const plainText = (error: string) => textLike(/^(?=.*\S)[^\p{Cc}]+$/u, error);

/** A path to a file that holds a secret; read by file.ts before the schema sees the tree. */
export const secretFile = (of: string) =>
  z
    .string({ error: "write the path of a file" })
    .min(1, { error: "write the path of a file" })
    .optional()
    .meta({
      description: `A file that holds \`${of}\`, in place of it; relative to the folder of the configuration file.`,
    });

/** Is `text` a day that exists, `2026-02-28`? */
export const isCalendarDay = (text: string): boolean => {
  const found = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (found === null) return false;
  const [year, month, day] = [Number(found[1]), Number(found[2]), Number(found[3])];
  const back = dayFromNumber(numberFromDay({ year, month, day }));
  return back.year === year && back.month === month && back.day === day;
};

/** Says that a key is wrong and what to write instead. */
export type Refuse = (key: string, message: string) => void;

/**
 * `schema` with a check over several of its fields. It runs whenever those fields are fine by
 * themselves, also beside other errors, so that one look finds everything that is wrong.
 */
export const withCheck = <Schema extends z.ZodObject>(
  schema: Schema,
  fields: readonly (keyof z.output<Schema> & string)[],
  check: (value: z.output<Schema>, refuse: Refuse) => void,
): Schema =>
  schema.superRefine(
    (value, context) =>
      check(value, (key, message) => {
        context.addIssue({ code: "custom", path: [key], message });
      }),
    {
      when: ({ value, issues }) =>
        typeof value === "object" &&
        value !== null &&
        !issues.some(({ path }) => (fields as readonly unknown[]).includes(path?.[0])),
    },
  );
