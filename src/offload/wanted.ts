// Which attachments are to be stored, by what the server tells of them before anything is read. Pure; the
// orchestrator asks before it offloads a message, and before it takes a batch.
import type { Attachment } from "../core/message.ts";
import type { OffloadSettings } from "../core/settings.ts";

/** base64: 57 bytes in a line of 76 letters and its end. */
const BASE64_USUAL = 57 / 78;
/** base64 in lines of 30 letters, shorter than anybody writes them. */
const BASE64_LEAST = 0.7;
/** uuencode: 45 bytes in a line of 63. */
const UU_USUAL = 45 / 63;
/** Every octet a letter with an escape. */
const QUOTED_LEAST = 1 / 3;

/** What `octets` decode to: usually, and at the very least. */
const decodedBytes = (encoding: string, octets: number): { usual: number; least: number } => {
  if (encoding === "base64") return { usual: octets * BASE64_USUAL, least: octets * BASE64_LEAST };
  if (/^(x-)?uue(ncode)?$/.test(encoding)) {
    return { usual: octets * UU_USUAL, least: octets * BASE64_LEAST };
  }
  if (encoding === "quoted-printable") return { usual: octets, least: octets * QUOTED_LEAST };
  return { usual: octets, least: octets };
};

/** About how many bytes an attachment decodes to, judged by its encoding and the octets told. */
export const expectedBytes = ({ encoding, sizeBytes }: Attachment): number =>
  Math.ceil(decodedBytes(encoding, sizeBytes).usual);

/** Padding and the end of the last line: so far is a usual size off. */
const SLACK_BYTES = 3;

/** Is `text` what `pattern` describes, `*` standing for any characters? In one direction, never back. */
const isLike = (text: string, pattern: string): boolean => {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of others) {
    const found = text.indexOf(piece, at);
    if (found === -1) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
};

const isWantedType = (contentType: string, wanted: readonly string[]): boolean =>
  wanted.length === 0 || wanted.some((type) => isLike(contentType.toLowerCase(), type));

const isWantedName = (filename: string | null, wanted: readonly string[]): boolean => {
  if (wanted.length === 0) return true;
  if (filename === null) return false;
  // Some systems write a letter and its accent as two characters.
  const name = filename.normalize("NFC").toLowerCase();
  return wanted.some((pattern) => isLike(name, pattern.normalize("NFC")));
};

/**
 * The attachments that the settings want: of a wanted type, with a wanted name, and of a size that may
 * lie between the bounds; all of it if all is asked for. An attachment that no server knows by a part
 * number cannot be read.
 */
export const wantedAttachments = (
  settings: Pick<OffloadSettings, "contentTypes" | "filenames" | "minBytes" | "maxBytes">,
  attachments: readonly Attachment[],
): readonly Attachment[] =>
  attachments.filter(({ part, contentType, filename, encoding, sizeBytes }) => {
    const { usual, least } = decodedBytes(encoding, sizeBytes);
    return (
      part !== "" &&
      isWantedType(contentType, settings.contentTypes) &&
      isWantedName(filename, settings.filenames) &&
      usual + SLACK_BYTES >= settings.minBytes &&
      least - SLACK_BYTES <= settings.maxBytes
    );
  });
