// The receiver of the throughput bench, a process of its own: reads each body away, counts the ids,
// answers 200. Tells its port when it listens; any question is answered with what came in since the
// last one. Started by throughput.ts.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What the receiver tells. */
export interface ReceiverReport {
  port: number;
  /** Requests since the last report. */
  requests: number;
  /** Different values of `webhook-id` among them. */
  ids: number;
}

let ids = new Set<unknown>();
let requests = 0;

const server = createServer((request, response) => {
  request.resume().once("end", () => {
    requests += 1;
    ids.add(request.headers["webhook-id"]);
    response.end("ok");
  });
});

const report = (): void => {
  const { port } = server.address() as AddressInfo;
  const told: ReceiverReport = { port, requests, ids: ids.size };
  process.send?.(told);
  ids = new Set();
  requests = 0;
};

server.listen(0, "127.0.0.1", report);
process.on("message", report);
process.on("disconnect", () => process.exit());
