// All targets of the fuzz, in the order in which they run. A new one is a file in targets/ and a line
// here.
import type { FuzzTarget } from "./target.ts";
import { body } from "./targets/body.ts";
import { cutText, decode } from "./targets/decode.ts";
import { egress } from "./targets/egress.ts";
import { fetchPlan } from "./targets/fetch-plan.ts";
import { addresses, dates, header, repair } from "./targets/header.ts";
import { entities, links } from "./targets/links.ts";
import { mask } from "./targets/mask.ts";
import { payload } from "./targets/payload.ts";
import { expressions, rules } from "./targets/rules.ts";
import { subjects } from "./targets/subjects.ts";

/** Every target there is. */
export const TARGETS: readonly FuzzTarget[] = [
  ...[decode, cutText, body, fetchPlan, links, entities, header, addresses, repair, dates],
  ...[rules, expressions, subjects, payload, egress, mask],
];
