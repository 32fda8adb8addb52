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

/** A token or key that travels in a header: visible ASCII characters. */
export const visibleText = (name: string) =>
  textLike(/^[!-~]+$/, `write a ${name} of visible ASCII characters, without spaces`);

/** A path to a file that holds a secret; read by file.ts before the schema sees the tree. */
export const secretFile = (of: string) =>
  z
    .string({ error: "write the path of a file" })
    .min(1, { error: "write the path of a file" })
    .optional()
    .meta({
      description: `A file that holds \`${of}\`, in place of it; relative to the folder of the configuration file.`,
    });

/** The texts in small letters, each once. */
export const inSmallLetters = (texts: readonly string[]): string[] => [
  ...new Set(texts.map((text) => text.toLowerCase())),
];

/** Is `text` a day that exists, `2026-02-28`? */
export const isCalendarDay = (text: string): boolean => {
  const found = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (found === null) return false;
  const [year, month, day] = [Number(found[1]), Number(found[2]), Number(found[3])];
  const back = dayFromNumber(numberFromDay({ year, month, day }));
  return back.year === year && back.month === month && back.day === day;
};

/** Says that a key is wrong and what to write instead; a key further down is written as its path. */
export type Refuse = (key: string | readonly (string | number)[], message: string) => void;

/** Does an issue at `path` say something of the key at `field`, of what holds it, or of what it holds? */
const concerns = (path: readonly PropertyKey[], field: string | readonly string[]): boolean =>
  path.length > 0 && [field].flat().every((part, at) => at >= path.length || path[at] === part);

/** Fields of a section; a key further down is written as its path. */
type Fields<Schema extends z.ZodObject> = readonly (
  | (keyof z.output<Schema> & string)
  | readonly [keyof z.output<Schema> & string, ...string[]]
)[];

/**
 * `schema` with a check over several of its fields, or of keys below them. It runs whenever those are
 * fine by themselves, also beside other errors, so that one look finds everything that is wrong.
 */
export const withCheck = <Schema extends z.ZodObject>(
  schema: Schema,
  fields: Fields<Schema>,
  check: (value: z.output<Schema>, refuse: Refuse) => void,
): Schema =>
  schema.superRefine(
    (value, context) =>
      check(value, (key, message) => {
        context.addIssue({ code: "custom", path: [key].flat(), message });
      }),
    {
      when: ({ value, issues }) =>
        typeof value === "object" &&
        value !== null &&
        !issues.some(
          ({ code, path }) =>
            code !== "unrecognized_keys" && fields.some((field) => concerns(path ?? [], field)),
        ),
    },
  );

/** `schema` with several checks, each as in {@link withCheck}. */
export const withChecks = <Schema extends z.ZodObject>(
  schema: Schema,
  checks: readonly {
    fields: Fields<Schema>;
    check: (value: z.output<Schema>, refuse: Refuse) => void;
  }[],
): Schema => checks.reduce((all, { fields, check }) => withCheck(all, fields, check), schema);
