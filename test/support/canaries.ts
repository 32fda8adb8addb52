// Words that nobody may ever read again: planted wherever a person can write something, and looked for
// in everything that a daemon says and keeps. Every canary holds CANARY, so that one search finds all.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import * as mail from "./mail.ts";

/** What every canary holds. */
export const CANARY = "qzxcanary";

/** A folder's name holds this instead: it is no content, and stands in the store as part of a key. */
export const FOLDER_CANARY = "qzxfolder";

/** Base64 of 32 bytes that reads like a canary, as keys and secrets are written. */
export const canaryKey = (name: string): string => `${`${CANARY}${name}`.padEnd(43, "A")}=`;

/** A message with a canary in every place that a sender writes. */
export const canaryMessage = (name: string, more: mail.MessageHeaders = {}): Buffer => {
  const link = `https://www.dropbox.com/s/${CANARY}link/${CANARY}file.pdf?dl=0`;
  const html = `<p title="${CANARY}title">${CANARY}html <a href="${link}">${CANARY}text</a></p>`;
  const parts = [
    mail.alternative(`${CANARY}body ${link}`, html),
    mail.attachmentPart({ filename: `${CANARY}name.pdf`, content: Buffer.from(`${CANARY}bytes`) }),
  ];
  const headers: mail.MessageHeaders = {
    from: `"${CANARY} display" <${CANARY}from@example.com>`,
    to: `"${CANARY} to" <${CANARY}to@example.com>`,
    subject: `${CANARY} ${name}`,
    messageId: `<${CANARY}.${name}@example.com>`,
    extra: [[`X-${CANARY}`, `${CANARY}header`]],
    ...more,
  };
  return mail.message(headers, mail.multipart("mixed", parts));
};

/** The pieces of `text` around each place where a canary sings; empty when none does. */
export const canariesIn = (text: string): string[] =>
  [...text.matchAll(new RegExp(`.{0,60}(${CANARY}|${FOLDER_CANARY}).{0,40}`, "gis"))].map(
    ([found]) => found.replaceAll(/[^\x20-\x7e]/g, "."),
  );

/** The same for every byte below a directory; names of folders may stand there. */
export const canariesBelow = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const bytes = readFileSync(join(entry.parentPath, entry.name));
      const text = bytes.toString("latin1").replaceAll(new RegExp(FOLDER_CANARY, "gi"), "");
      return [...canariesIn(entry.name), ...canariesIn(text)].map(
        (found) => `${entry.name}: ${found}`,
      );
    });
