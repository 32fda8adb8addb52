// Masking: what a log line may show of a text never holds the part that must not be shown.
import fc from "fast-check";
import { maskSensitiveData } from "../../../src/app-logging/mask-sensitive-data.ts";
import { textOf } from "../inputs.ts";
import { createTarget, must } from "../target.ts";

/** No part of it can come out of anything else. */
const SECRET = "qzxsecretqzx";

/** A secret in every kind of text. */
export const mask = createTarget({
  name: "mask",
  weight: 8,
  cases: fc.record({
    noise: textOf(["@", " ", ".", "\n", "a b c d", "\u00a0", "😀"], 200_000),
    words: fc.array(fc.stringMatching(/^[a-z]{1,5}$/), { minLength: 3, maxLength: 5 }),
    kind: fc.constantFrom("phone", "", "Email", "__proto__", "constructor"),
  }),
  run: ({ noise, words, kind }, meter) => {
    const shown = (value: string, as: string): string =>
      meter.turn(() => maskSensitiveData(value, as));
    const domain = noise.replaceAll("@", "").slice(0, 40);
    const email = shown(`x${noise.slice(0, 500)}${SECRET}@${domain}`, "email");
    const subject = shown(`${words.join(" ")} ${SECRET} ${noise}`, "subject");
    const content = shown(`${SECRET}${noise}`, "content");
    const other = shown(`${SECRET}${noise}`, kind);
    for (const text of [email, subject, content, other]) {
      must(!text.includes(SECRET), "the secret shows");
    }
    must(/^Content length: \d+ chars$/.test(content), "more than the length of a content");
    must(other === "[redacted]", "more than a word of what nobody knows");
    must(/\.\.\. \[[0-9a-f]{6}\]$/.test(subject), "a subject without its hash");
    const any = ["email", "subject", "content"].map((as) => shown(noise, as));
    return [email, subject, content, any];
  },
});
