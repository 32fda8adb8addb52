// What of a person's data a log line may show when the operator asked for it (`log_masked_text`). The
// only way for such a text into a line; nothing calls it by default.
import { createHash } from "node:crypto";

const WORDS_SHOWN = 3;
const HASH_CHARS = 6;

const maskEmail = (value: string): string => {
  const at = value.lastIndexOf("@");
  const [first] = value.slice(0, Math.max(at, 0));
  const domain = value.slice(at + 1);
  return first === undefined || domain === "" ? "***" : `${first}***@${domain}`;
};

const maskSubject = (value: string): string => {
  const words = value.split(/\s+/).filter((word) => word !== "");
  const hash = createHash("sha256").update(value, "utf8").digest("hex");
  return `${words.slice(0, WORDS_SHOWN).join(" ")}... [${hash.slice(0, HASH_CHARS)}]`;
};

/**
 * `value` with its meaning taken out. `email`: first character and domain, `***` when it is none;
 * `subject`: first three words and six hexadecimal digits of its SHA-256 in UTF-8; `content`: its
 * length in code points; any other kind: `[redacted]`. Empty stays empty, but for `content`.
 */
export const maskSensitiveData = (value: string, kind: string): string => {
  if (kind === "content") return `Content length: ${[...value].length} chars`;
  if (value === "") return "";
  if (kind === "email") return maskEmail(value);
  return kind === "subject" ? maskSubject(value) : "[redacted]";
};
