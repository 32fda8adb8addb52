// The mailbox that the throughput is measured on: messages of 8 KB of text and 8 KB of HTML, every tenth
// with an attachment of 8 KB, written as ordinary mail programs write them (quoted-printable).
import { attachmentPart, message, multipart, textPart } from "../../test/support/mail.ts";

const PART_BYTES = 8 * 1024;

/** So many different bodies; the rest repeat them under subjects and ids of their own. */
const BODIES = 20;

const SENTENCE = "Le café du coin ouvre à huit heures, and the usual order is waiting there. ";

const filled = (head: string, line: string, tail: string): string => {
  const room = PART_BYTES - Buffer.byteLength(head + tail);
  return head + line.repeat(Math.ceil(room / Buffer.byteLength(line))) + tail;
};

const bodyOf = (index: number): Buffer => {
  const encoding = "quoted-printable";
  const text = filled(`Number ${index}\r\n`, `${SENTENCE}\r\n`, "See https://example.com/shop\r\n");
  const html = filled(
    `<html><body><h1>Number ${index}</h1>\r\n`,
    `<p style="margin:0">${SENTENCE}<a href="https://example.com/a">more</a></p>\r\n`,
    "</body></html>\r\n",
  );
  const both = multipart("alternative", [
    textPart({ text, encoding }),
    textPart({ text: html, subtype: "html", encoding }),
  ]);
  if (index % 10 !== 0) return both;
  const content = Buffer.alloc(PART_BYTES, `attachment ${index} `);
  return multipart("mixed", [both, attachmentPart({ filename: "report.pdf", content })]);
};

/** `count` messages. */
export const benchMessages = (count: number): Buffer[] => {
  const bodies = Array.from({ length: BODIES }, (_, index) => bodyOf(index));
  return Array.from({ length: count }, (_, index) =>
    message(
      {
        from: `"Sender ${index % 50}" <sender-${index % 50}@example.com>`,
        subject: `Order ${index} is on its way`,
        messageId: `<bench-${index}@example.com>`,
      },
      bodies[index % BODIES] ?? Buffer.alloc(0),
    ),
  );
};
