// The test runner's settings: unit tests share one process per worker (nothing in src holds module
// state), integration tests run one file at a time because they own servers.
import { defineConfig } from "vitest/config";

const tags = [
  { name: "redis", description: "needs a Redis server" },
  { name: "r2", description: "needs an S3-speaking server" },
  { name: "resilience", description: "part of the resilience suite" },
];

export default defineConfig({
  test: {
    tags,
    projects: [
      {
        test: {
          name: "unit",
          tags,
          include: ["src/**/*.test.ts", "test/*.test.ts"],
          isolate: false,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: "integration",
          tags,
          include: ["test/integration/**/*.test.ts"],
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 60_000,
          // Processes on a busy machine; what is polled for has no business being fast here.
          expect: { poll: { timeout: 20_000, interval: 100 } },
        },
      },
    ],
  },
});
