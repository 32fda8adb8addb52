// The one suite that every store passes, whatever it keeps its state in; the suites by subject are in
// contract/. Called by the test of each store.
import { describe } from "vitest";
import {
  claimsContract,
  cursorContract,
  renumberingContract,
  tailContract,
} from "./contract/commits.contract.ts";
import { adoptionContract, documentsContract } from "./contract/documents.contract.ts";
import { fencesContract, runsContract } from "./contract/fences.contract.ts";
import {
  receiptsContract,
  redeliveryContract,
  todosContract,
} from "./contract/receipts.contract.ts";
import type { OpenStore } from "./contract/samples.contract.ts";
import {
  spoolDecisionsContract,
  spoolReadsContract,
  spoolUpdatesContract,
} from "./contract/spool.contract.ts";

/** Runs the suite on stores that `open` opens. */
export const storeContract = (name: string, open: OpenStore): void => {
  describe(`the store: ${name}`, () => {
    fencesContract(open);
    runsContract(open);
    cursorContract(open);
    renumberingContract(open);
    tailContract(open);
    claimsContract(open);
    receiptsContract(open);
    todosContract(open);
    redeliveryContract(open);
    spoolReadsContract(open);
    spoolUpdatesContract(open);
    spoolDecisionsContract(open);
    documentsContract(open);
    adoptionContract(open);
  });
};
