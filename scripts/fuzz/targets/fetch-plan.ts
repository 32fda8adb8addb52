// The fetch plan: any tree of parts, deep, wide or both, gives lists within the limits, in the order of
// the message; where no limit is reached every leaf is in one of them.
import fc from "fast-check";
import type { Limits } from "../../../src/core/limits.ts";
import type { BodyNode } from "../../../src/core/message.ts";
import { planFetch } from "../../../src/mail/fetch-plan.ts";
import { limits, names } from "../inputs.ts";
import { createTarget, must, mustBeText } from "../target.ts";

const TYPES = [
  ...["text/plain", "text/plain", "text/html", "text/html", "text/calendar", "message/rfc822"],
  ...["multipart/mixed", "multipart/alternative", "application/pdf", "multipart/", "text", ""],
];

type Draft = Omit<BodyNode, "part" | "children"> & { children: Draft[] };

const leaf: fc.Arbitrary<Draft> = fc.record({
  type: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...TYPES) },
    { weight: 1, arbitrary: names.map((name) => name ?? "") },
  ),
  charset: names,
  encoding: fc.constantFrom("7bit", "base64", ""),
  sizeBytes: fc.nat(),
  disposition: fc.constantFrom(null, "inline", "attachment", "ATTACHMENT", "x"),
  filename: names,
  contentId: names,
  children: fc.constant([]),
});

const multipart = (children: fc.Arbitrary<Draft[]>): fc.Arbitrary<Draft> =>
  fc.tuple(leaf, children).map(([node, inside]) => ({
    ...node,
    type: "multipart/mixed",
    children: inside,
  }));

const tree: fc.Arbitrary<Draft> = fc.letrec<{ node: Draft }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small" },
    { weight: 2, arbitrary: leaf },
    { weight: 3, arbitrary: multipart(fc.array(tie("node"), { maxLength: 5 })) },
  ),
})).node;

const chain: fc.Arbitrary<Draft> = fc.tuple(leaf, fc.nat(4000)).map(([end, depth]) => {
  let node = end;
  for (let level = 0; level < depth; level += 1) {
    node = { ...end, type: "multipart/mixed", children: [node] };
  }
  return node;
});

const wide: fc.Arbitrary<Draft> = fc.tuple(leaf, fc.nat(20_000)).map(([child, count]) => ({
  ...child,
  type: "multipart/mixed",
  children: Array.from({ length: count }, () => child),
}));

/** With the part numbers of IMAP; without recursion, because a chain is deep. */
const numbered = (draft: Draft): BodyNode => {
  interface Open extends Omit<BodyNode, "children"> {
    children: BodyNode[];
  }
  const open = (one: Draft, part: string): Open => ({ ...one, part, children: [] });
  const root = open(draft, draft.type.startsWith("multipart/") ? "" : "1");
  const waiting: [Draft, Open][] = [[draft, root]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [from, to] = next;
    for (const [index, child] of from.children.entries()) {
      // The numbers of a chain of thousands would be megabytes, and no server makes them.
      const prefix = to.part === "" || to.part.length > 200 ? "" : `${to.part}.`;
      const inside = open(child, `${prefix}${index + 1}`);
      to.children.push(inside);
      waiting.push([child, inside]);
    }
  }
  return root;
};

/** Its leaves, as the program should see them where no limit stops it; null where one may. */
const leavesOf = (root: BodyNode, { maxNesting, maxParts }: Limits): BodyNode[] | null => {
  const found: BodyNode[] = [];
  let seen = 0;
  const visit = (node: BodyNode, depth: number): boolean => {
    seen += 1;
    if (seen > maxParts) return false;
    if (!node.type.startsWith("multipart/")) {
      found.push(node);
      return true;
    }
    if (depth >= maxNesting) return node.children.length === 0;
    return node.children.every((child) => visit(child, depth + 1));
  };
  return visit(root, 0) ? found : null;
};

/** Do parts stand in the order of the leaves? */
const isInOrder = (parts: readonly { part: string }[], leaves: readonly BodyNode[]): boolean => {
  const places = new Map(leaves.map(({ part }, index) => [part, index]));
  const order = parts.map(({ part }) => places.get(part) ?? -1);
  return order.every((place, index) => place > (order[index - 1] ?? -1));
};

/** Random trees of parts. */
export const fetchPlan = createTarget({
  name: "fetch-plan",
  weight: 12,
  cases: fc.record({
    draft: fc.oneof(
      { weight: 60, arbitrary: tree },
      { weight: 1, arbitrary: chain },
      { weight: 1, arbitrary: wide },
    ),
    limits,
  }),
  run: ({ draft, limits: own }, meter) => {
    const root = numbered(draft);
    const plan = meter.turn(() => planFetch(root, own));
    must(plan.texts.length <= own.maxTextParts, "more text parts than the limit");
    must(plan.attachments.length <= own.maxAttachments, "more attachments than the limit");
    must(plan.texts.length + plan.attachments.length <= own.maxParts, "more parts than the limit");
    for (const { filename, contentType, contentId, disposition } of plan.attachments) {
      for (const text of [filename, contentType, contentId, disposition]) {
        must(
          (text?.isWellFormed() ?? true) && [...(text ?? "")].length <= own.maxNameChars,
          "name",
        );
      }
    }
    for (const { encoding } of plan.texts) mustBeText(encoding, "an encoding");
    const leaves = leavesOf(root, own);
    if (leaves === null) {
      must(plan.tooDeep || plan.truncated.length > 0, "parts are left out and nobody says so");
    } else {
      must(!plan.tooDeep, "a message that is not deep is called so");
      const listed = plan.texts.length + plan.attachments.length;
      const isCut = plan.truncated.some((word) => word !== "names");
      must(isCut || listed === leaves.length, "a part is in neither list");
      must(!isCut || listed < leaves.length, "something is called cut and is not");
      must(isInOrder(plan.texts, leaves), "texts are not in the order of the message");
      must(isInOrder(plan.attachments, leaves), "attachments are not in the order of the message");
    }
    return plan;
  },
});
